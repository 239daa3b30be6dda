"""Store JSON of any size: compressed in the row if small, in the bucket if large.

The object is written before the row. Rows are kept small, because UpdateItem bills the whole item
on every write.
"""

import json
import zlib
from hashlib import sha256
from typing import Any

ROW_LIMIT = 4 * 1024  # compressed bytes
_SMALL = 1024  # bytes of text


def compact_json(value: Any) -> bytes:
    """Return a value as JSON without spaces. Keys keep their order. Raises ValueError for NaN."""
    return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()


def canonical_json(value: Any) -> str:
    """Return a value as JSON with sorted keys, so that the order of its keys doesn't matter."""
    return json.dumps(value, sort_keys=True)


def compressed(text: bytes) -> bytes:
    """Compress a text for a row or an object. `zlib.decompress` reads it.

    By default, zlib clears a quarter of a megabyte of memory for each text. With a small window,
    compressing a small text takes a tenth of the time, and most payloads are small.
    """
    if len(text) > _SMALL:
        return zlib.compress(text)
    small = zlib.compressobj(wbits=11, memLevel=4)  # the smallest window that covers the whole text
    return small.compress(text) + small.flush()


def put(prefix: str, value: Any) -> tuple[bytes | None, str | None]:
    """Store a value. Return (bytes for the row, None), or (None, key of the object written)."""
    text = compact_json(value)
    packed = compressed(text)
    if len(packed) <= ROW_LIMIT:
        return packed, None
    from job_runners.aws import bucket  # imported here because few values are too large for a row

    key = f"{prefix}/{sha256(text).hexdigest()}"
    bucket.put_bytes(key, packed)
    return None, key


def get(packed: bytes | None, key: str | None) -> Any:
    """Return the value that `put` stored, or None if there is none.

    Raises MissingObject if its object is gone.
    """
    if key is not None:
        from job_runners.aws import bucket

        packed = bucket.get_bytes(key)
    return None if packed is None else json.loads(zlib.decompress(packed))
