"""Sign webhooks by the Standard Webhooks specification, for which receivers have libraries."""

import base64
import binascii
import hmac
import re
from collections.abc import Sequence

from job_runners.errors import DoNotRetry

_PREFIX = "whsec_"
_SHORTEST, _LONGEST = 24, 64  # bytes of a key, by the specification


def signed_headers(
    webhook_id: str, timestamp: int, body: bytes, keys: Sequence[bytes]
) -> dict[str, str]:
    """Return the headers that identify the sender, the time (seconds since 1970) and the event.

    They have one signature per key, and a receiver accepts any of them.
    """
    content = f"{webhook_id}.{timestamp}.".encode() + body
    digests = (hmac.digest(key, content, "sha256") for key in keys)
    signatures = [f"v1,{base64.b64encode(digest).decode()}" for digest in digests]
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signatures),
    }


def secret_keys(written: str, name: str) -> list[bytes]:
    """Return the keys in the text of a secret: one, or two during a rotation.

    Each is base64 after whsec_, and a space separates two of them. Raises DoNotRetry.
    """
    parts = re.split(r"[\s,]+", written.strip())
    if len(parts) > 2:
        raise DoNotRetry(
            f"The webhook secret {name!r} has more than two keys. Store one, or two while the "
            "receiver changes its own."
        )
    return [_key(part, name) for part in parts]


def how_to_set(name: str) -> str:
    """Return how to store a new secret under this name."""
    return (
        'To store a new one: echo "whsec_$(openssl rand -base64 32)" | '
        f"job-runners config set webhook-secrets/{name} --secret"
    )


def _key(written: str, name: str) -> bytes:
    try:
        key = base64.b64decode(written.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not _SHORTEST <= len(key) <= _LONGEST:
        raise DoNotRetry(
            f"The webhook secret {name!r} is not whsec_ and {_SHORTEST} to {_LONGEST} base64 "
            f"bytes. {how_to_set(name)}"
        )
    return key
