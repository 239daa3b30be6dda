"""Sign webhooks per the Standard Webhooks specification, which receivers' libraries can verify."""

import base64
import binascii
import hmac
import re
from collections.abc import Sequence

from job_runners.errors import DoNotRetry

_PREFIX = "whsec_"
# From the specification.
_MIN_KEY_BYTES = 24
_MAX_KEY_BYTES = 64


def signature_headers(
    webhook_id: str, timestamp: int, body: bytes, keys: Sequence[bytes]
) -> dict[str, str]:
    """Return the headers with the event's id, the time, and one signature per key.

    `timestamp` is in seconds since 1970. Receivers accept an event if any signature is valid.
    """
    content = f"{webhook_id}.{timestamp}.".encode() + body
    digests = (hmac.digest(key, content, "sha256") for key in keys)
    signatures = [f"v1,{base64.b64encode(digest).decode()}" for digest in digests]
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signatures),
    }


def parse_secret(text: str, name: str) -> list[bytes]:
    """Parse a secret: one key, or two during a rotation, separated by whitespace or commas.

    A key is base64, with or without the prefix whsec_. Raises DoNotRetry, with the secret's name.
    """
    parts = re.split(r"[\s,]+", text.strip())
    if len(parts) > 2:
        raise DoNotRetry(
            f"The webhook secret {name!r} has more than two keys. Store one, or two while the "
            "receiver changes its own."
        )
    return [_parse_key(part, name) for part in parts]


def how_to_store(name: str) -> str:
    """Return advice for an error message: how to store a new secret under this name."""
    return (
        'To store a new one: echo "whsec_$(openssl rand -base64 32)" | '
        f"job-runners config set webhook-secrets/{name} --secret"
    )


def _parse_key(text: str, secret_name: str) -> bytes:
    try:
        key = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = None
    if key is None or not _MIN_KEY_BYTES <= len(key) <= _MAX_KEY_BYTES:
        raise DoNotRetry(
            f"The webhook secret {secret_name!r} is not whsec_ and {_MIN_KEY_BYTES} to "
            f"{_MAX_KEY_BYTES} base64 bytes. {how_to_store(secret_name)}"
        )
    return key
