"""The members of a group in the order of its caller: chunks of up to 1,000 keys.

A chunk is stored before its first member is dispatched. Its record `done` is stored after its last
member is dispatched. The record of the last chunk has the total.
"""

import json
import zlib
from hashlib import sha256

from job_runners.aws.errors import try_write
from job_runners.store.blobs import compact_json, compressed
from job_runners.store.groups import GroupItem, expiry
from job_runners.values import Value

SIZE = 1_000  # members of a chunk
_CHUNK = "chunk#"
_DONE = "done#"


class DispatchedChunks(Value):
    """The chunks whose members are all dispatched: how many keys each has, by its number.

    `total` is None until all members of the group are dispatched.
    """

    sizes: dict[int, int]
    total: int | None


def read_dispatched(group_id: str) -> DispatchedChunks:
    """Return the chunks of a group whose members are all dispatched."""
    starts = GroupItem.sk.startswith(_DONE)
    items = list(GroupItem.query(_partition(group_id), starts, consistent_read=True))
    sizes = {int(item.sk.removeprefix(_DONE)): item.number or 0 for item in items}
    total = next((item.total for item in items if item.total is not None), None)
    return DispatchedChunks(sizes, total)


def put(group_id: str, chunk: int, keys: list[str]) -> bool:
    """Store the keys of a chunk, if it isn't stored yet. Return whether this call has stored it."""
    text = compact_json(keys)
    item = GroupItem(
        _partition(group_id),
        _sort_key(_CHUNK, chunk),
        member_keys=compressed(text),
        keys_hash=_hash(text),
        expires_at=expiry(),
    )
    return try_write(lambda: item.save(GroupItem.pk.does_not_exist()))


def has_keys(group_id: str, chunk: int, keys: list[str]) -> bool:
    """Return whether a stored chunk has these keys in this order."""
    return _get(group_id, chunk).keys_hash == _hash(compact_json(keys))


def record_dispatched(group_id: str, chunk: int, number: int, total: int | None) -> None:
    """Record that all members of a chunk are dispatched. Pass the total with the last chunk."""
    sk, expires_at = _sort_key(_DONE, chunk), expiry()
    GroupItem(_partition(group_id), sk, number=number, total=total, expires_at=expires_at).save()


def read_keys(group_id: str, chunk: int) -> list[str]:
    """Return the keys of a chunk in order."""
    packed = _get(group_id, chunk).member_keys
    found: list[str] = json.loads(zlib.decompress(packed or b""))
    return found


def find_keys(group_id: str, chunk: int) -> list[str] | None:
    """Return the keys of a chunk in order, or None if it isn't stored."""
    try:
        return read_keys(group_id, chunk)
    except GroupItem.DoesNotExist:
        return None


def _get(group_id: str, chunk: int) -> GroupItem:
    return GroupItem.get(_partition(group_id), _sort_key(_CHUNK, chunk), consistent_read=True)


def _hash(text: bytes) -> str:
    return sha256(text).hexdigest()


def _sort_key(kind: str, chunk: int) -> str:
    return f"{kind}{chunk:05d}"


def _partition(group_id: str) -> str:
    return f"group#{group_id}"
