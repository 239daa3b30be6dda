"""Store JSON values of any size: small ones compressed in the row, large ones in the bucket.

Rows are kept small, because DynamoDB bills the whole item for every update. A large value's object
is written before the row that names it.
"""

import json
import zlib
from hashlib import sha256
from typing import Any

ROW_LIMIT = 4 * 1024  # the maximum number of compressed bytes in a row
_SMALL_TEXT = 1024  # bytes


def compact_json(value: Any) -> bytes:
    """Return a value as JSON without spaces. Keys keep their order. Raises ValueError for NaN."""
    return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()


def canonical_json(value: Any) -> str:
    """Return a value as JSON with sorted keys, for comparisons and hashes."""
    return json.dumps(value, sort_keys=True)


def compressed(text: bytes) -> bytes:
    """Compress a text for a row or an object. `zlib.decompress` restores it."""
    if len(text) > _SMALL_TEXT:
        return zlib.compress(text)
    # By default, zlib clears 256 KB of memory for each text. A small window makes this ten times as
    # fast for small texts.
    compressor = zlib.compressobj(wbits=11, memLevel=4)
    return compressor.compress(text) + compressor.flush()


def put(prefix: str, value: Any) -> tuple[bytes | None, str | None]:
    """Store a value. Return (bytes for the row, None), or (None, the key of the new object)."""
    text = compact_json(value)
    packed = compressed(text)
    if len(packed) <= ROW_LIMIT:
        return packed, None
    from job_runners.aws import bucket  # imported here because few values are too large for a row

    key = f"{prefix}/{sha256(text).hexdigest()}"
    bucket.put_bytes(key, packed)
    return None, key


def get(packed: bytes | None, key: str | None) -> Any:
    """Return the value that `put` stored, or None if both arguments are None.

    Raises MissingObject if the value's object is gone.
    """
    if key is not None:
        from job_runners.aws import bucket  # imported here for the same reason as in `put`

        packed = bucket.get_bytes(key)
    return None if packed is None else json.loads(zlib.decompress(packed))
