"""Signs webhooks as the Standard Webhooks specification says, so that receivers have a library."""

import base64
import binascii
import hmac
import re
from collections.abc import Sequence

from errors import DoNotRetry

_PREFIX = "whsec_"
_SHORTEST, _LONGEST = 24, 64  # bytes of a key, by the specification


def signed_headers(
    webhook_id: str, timestamp: int, body: bytes, keys: Sequence[bytes]
) -> dict[str, str]:
    """Return the headers by which a receiver knows who sent the body, when (seconds since 1970),
    and whether it has had it before. There is a signature by each key: a receiver takes any of
    them."""
    content = f"{webhook_id}.{timestamp}.".encode() + body
    digests = (hmac.digest(key, content, "sha256") for key in keys)
    signatures = [f"v1,{base64.b64encode(digest).decode()}" for digest in digests]
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signatures),
    }


def secret_keys(written: str, name: str) -> list[bytes]:
    """Return the keys in a secret as it is written down: one, or two with a space between them
    while one takes the other's place. Each is base64 after whsec_. Raises DoNotRetry."""
    parts = re.split(r"[\s,]+", written.strip())
    if len(parts) > 2:
        raise DoNotRetry(f"the webhook secret {name!r} holds more than two secrets")
    return [_key(part, name) for part in parts]


def _key(written: str, name: str) -> bytes:
    try:
        key = base64.b64decode(written.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not _SHORTEST <= len(key) <= _LONGEST:
        raise DoNotRetry(
            f"the webhook secret {name!r} is not whsec_ and {_SHORTEST} to {_LONGEST} base64 bytes"
        )
    return key
