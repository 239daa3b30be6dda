"""Read webhook secrets from SSM's Parameter Store. Payloads contain only their names."""

import time

from botocore.exceptions import ClientError

from job_runners import caches
from job_runners.aws import clients
from job_runners.errors import DoNotRetry
from job_runners.settings import required
from job_runners.shipped.webhooks.signature import how_to_set, secret_keys

_MAX_AGE = 60.0  # seconds; a rotated secret takes effect within this time

_keys: dict[str, tuple[float, list[bytes]]] = {}  # by parameter, with the time of reading
caches.register(_keys.clear)


def webhook_keys(name: str) -> list[bytes]:
    """Return the signing keys of the secret `name`: one, or two during a rotation.

    Raises DoNotRetry if the secret doesn't exist or can't be used.
    """
    parameter = f"{required('WEBHOOK_SECRETS_PATH', 'post_webhook').rstrip('/')}/{name}"
    read_at, keys = _keys.get(parameter, (0.0, []))
    if not keys or time.monotonic() - read_at > _MAX_AGE:
        keys = secret_keys(_read(parameter, name), name)
        _keys[parameter] = time.monotonic(), keys
    return keys


def _read(parameter: str, name: str) -> str:
    try:
        response = clients.client("ssm").get_parameter(Name=parameter, WithDecryption=True)
    except ClientError as error:
        if error.response["Error"]["Code"] == "ParameterNotFound":
            raise DoNotRetry(
                f"The webhook secret {name!r} doesn't exist. {how_to_set(name)}"
            ) from error
        raise
    value: str = response["Parameter"]["Value"]
    return value
