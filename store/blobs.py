"""JSON of any size: small in the row, compressed; large in the bucket, written before the row.

UpdateItem bills the whole item on every write, so rows are kept small.
"""

import json
import zlib
from hashlib import sha256
from typing import Any

ROW_LIMIT = 4 * 1024  # compressed bytes
_SMALL = 1024  # bytes of text


def compact_json(value: Any) -> bytes:
    """Return a value's JSON without spaces, keys as given. Raises ValueError for NaN."""
    return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()


def canonical_json(value: Any) -> str:
    """Return a JSON text that is the same for two values that differ only in the order of keys."""
    return json.dumps(value, sort_keys=True)


def compressed(text: bytes) -> bytes:
    """Return a text as rows and objects keep it, which zlib.decompress reads.

    zlib clears a quarter of a megabyte before each text, unless it is told that there is little to
    come: most payloads are small, and cost a tenth then.
    """
    if len(text) > _SMALL:
        return zlib.compress(text)
    small = zlib.compressobj(wbits=11, memLevel=4)  # the least that sees all of it at once
    return small.compress(text) + small.flush()


def put(prefix: str, value: Any) -> tuple[bytes | None, str | None]:
    """Keep a value: (bytes for the row, None), or (None, key of the object written)."""
    text = compact_json(value)
    packed = compressed(text)
    if len(packed) <= ROW_LIMIT:
        return packed, None
    from aws import bucket  # which few values are too large to do without

    key = f"{prefix}/{sha256(text).hexdigest()}"
    bucket.put_bytes(key, packed)
    return None, key


def get(packed: bytes | None, key: str | None) -> Any:
    """Return what `put` kept; None if nothing. Raises MissingObject if its object is gone."""
    if key is not None:
        from aws import bucket

        packed = bucket.get_bytes(key)
    return None if packed is None else json.loads(zlib.decompress(packed))
