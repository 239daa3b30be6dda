"""Sign webhooks as in the Standard Webhooks specification, for which receivers have libraries."""

import base64
import binascii
import hmac
import re
from collections.abc import Sequence

from job_runners.errors import DoNotRetry

_PREFIX = "whsec_"
_MIN_KEY, _MAX_KEY = 24, 64  # bytes, by the specification


def signature_headers(
    webhook_id: str, timestamp: int, body: bytes, keys: Sequence[bytes]
) -> dict[str, str]:
    """Return the headers with the event's id, the time (seconds since 1970) and the signatures.

    There is one signature for each key. A receiver accepts any of them.
    """
    content = f"{webhook_id}.{timestamp}.".encode() + body
    digests = (hmac.digest(key, content, "sha256") for key in keys)
    signatures = [f"v1,{base64.b64encode(digest).decode()}" for digest in digests]
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signatures),
    }


def secret_keys(text: str, name: str) -> list[bytes]:
    """Return the keys in a secret's text: one, or two during a rotation.

    Each key is whsec_ and base64, and a space separates two of them. `name` is the secret's name in
    errors. Raises DoNotRetry.
    """
    parts = re.split(r"[\s,]+", text.strip())
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


def _key(text: str, name: str) -> bytes:
    try:
        key = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not _MIN_KEY <= len(key) <= _MAX_KEY:
        raise DoNotRetry(
            f"The webhook secret {name!r} is not whsec_ and {_MIN_KEY} to {_MAX_KEY} base64 "
            f"bytes. {how_to_set(name)}"
        )
    return key
