"""Signs webhooks as the Standard Webhooks specification says, so that receivers have a library."""

import base64
import binascii
import hmac

from errors import DoNotRetry

_PREFIX = "whsec_"


def signed_headers(webhook_id: str, timestamp: int, body: bytes, secret: bytes) -> dict[str, str]:
    """The headers by which a receiver knows who sent the body, when (seconds since 1970), and
    whether it has had it before."""
    content = f"{webhook_id}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.digest(secret, content, "sha256")).decode()
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature}",
    }


def secret_key(written: str, name: str) -> bytes:
    """The key in a secret as it is written down, base64 after whsec_; raises DoNotRetry."""
    try:
        key = base64.b64decode(written.strip().removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) < 16:
        raise DoNotRetry(f"the webhook secret {name!r} is not whsec_ and 16 or more base64 bytes")
    return key
