"""Read webhook secrets from SSM Parameter Store. Payloads contain only the names of secrets."""

import time

from botocore.exceptions import ClientError

from job_runners import caches
from job_runners.aws import clients
from job_runners.errors import DoNotRetry
from job_runners.settings import required
from job_runners.shipped.webhooks.signature import how_to_store, parse_secret

_MAX_CACHE_AGE = 60.0  # seconds; a rotated secret takes effect within this time

# For each parameter, the time at which it was read, and its keys.
_cache: dict[str, tuple[float, list[bytes]]] = {}
caches.register(_cache.clear)


def webhook_keys(name: str) -> list[bytes]:
    """Return the keys of a secret. It has one key, or two during a rotation.

    Raises DoNotRetry if the secret doesn't exist or is invalid.
    """
    parameter = f"{required('WEBHOOK_SECRETS_PATH', 'post_webhook').rstrip('/')}/{name}"
    cached = _cache.get(parameter)
    if cached is not None:
        read_at, keys = cached
        if time.monotonic() - read_at <= _MAX_CACHE_AGE:
            return keys
    keys = parse_secret(_read_parameter(parameter, name), name)
    _cache[parameter] = time.monotonic(), keys
    return keys


def _read_parameter(parameter: str, name: str) -> str:
    try:
        response = clients.client("ssm").get_parameter(Name=parameter, WithDecryption=True)
    except ClientError as error:
        if error.response["Error"]["Code"] == "ParameterNotFound":
            raise DoNotRetry(
                f"The webhook secret {name!r} doesn't exist. {how_to_store(name)}"
            ) from error
        raise
    value: str = response["Parameter"]["Value"]
    return value
