"""Webhook secrets, from SSM's parameter store: payloads name them and never carry them."""

import time

from botocore.exceptions import ClientError

from errors import DoNotRetry
from settings import required
from store import aws
from webhooks.signature import secret_key

_KEPT = 60.0  # seconds; a rotated secret is in use after at most as long

_keys: dict[str, tuple[float, bytes]] = {}


def webhook_key(name: str) -> bytes:
    """The signing key called `name`; raises DoNotRetry if there is none that can be used."""
    parameter = f"{required('WEBHOOK_SECRETS_PATH', 'post_webhook').rstrip('/')}/{name}"
    read_at, key = _keys.get(parameter, (0.0, b""))
    if not key or time.monotonic() - read_at > _KEPT:
        key = secret_key(_read(parameter, name), name)
        _keys[parameter] = time.monotonic(), key
    return key


def forget() -> None:
    """Read every secret anew: for tests."""
    _keys.clear()


def _read(parameter: str, name: str) -> str:
    try:
        answer = aws.client("ssm").get_parameter(Name=parameter, WithDecryption=True)
    except ClientError as error:
        if error.response["Error"]["Code"] == "ParameterNotFound":
            raise DoNotRetry(f"there is no webhook secret named {name!r}") from error
        raise
    value: str = answer["Parameter"]["Value"]
    return value
