"""Store the keys of a group's members, in the order in which the job listed them.

They are stored in chunks of up to 1,000 keys. A chunk is put before its first member is dispatched.
After its last member is dispatched, a second item records that, with the prefix `done#`. Such an
item of the last chunk also has the total.
"""

import json
import zlib
from hashlib import sha256

from job_runners.aws.errors import try_write
from job_runners.store.blobs import compact_json, compressed
from job_runners.store.groups import GroupItem, expiry
from job_runners.values import Value

SIZE = 1_000  # keys in each chunk but the last
_CHUNK = "chunk#"
_DONE = "done#"


class DispatchedChunks(Value):
    """The chunks of a group whose members are all dispatched."""

    sizes: dict[int, int]  # the number of keys in each chunk, by the chunk's index
    total: int | None  # the number of the group's members, once all of them are dispatched


def read_dispatched(group_id: str) -> DispatchedChunks:
    """Return the chunks of a group whose members are all dispatched."""
    is_done = GroupItem.sk.startswith(_DONE)
    items = list(GroupItem.query(_partition(group_id), is_done, consistent_read=True))
    sizes = {int(item.sk.removeprefix(_DONE)): item.number or 0 for item in items}
    total = next((item.total for item in items if item.total is not None), None)
    return DispatchedChunks(sizes, total)


def put(group_id: str, chunk: int, keys: list[str]) -> bool:
    """Store the keys of a chunk. Return False if the chunk is already stored."""
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


def record_dispatched(group_id: str, chunk: int, size: int, total: int | None) -> None:
    """Record that all members of a chunk are dispatched.

    `size` is their number. Pass the total number of the group's members only with the last chunk.
    """
    GroupItem(
        _partition(group_id),
        _sort_key(_DONE, chunk),
        number=size,
        total=total,
        expires_at=expiry(),
    ).save()


def read_keys(group_id: str, chunk: int) -> list[str]:
    """Return the keys of a chunk in order. Raises GroupItem.DoesNotExist if it isn't stored."""
    return _keys_in(_get(group_id, chunk))


def find_keys(group_id: str, chunk: int) -> list[str]:
    """Return the keys of a chunk in order. There are none if the chunk isn't stored."""
    item = GroupItem.find(_partition(group_id), _sort_key(_CHUNK, chunk))
    return [] if item is None else _keys_in(item)


def _keys_in(item: GroupItem) -> list[str]:
    keys: list[str] = json.loads(zlib.decompress(item.member_keys or b""))
    return keys


def _get(group_id: str, chunk: int) -> GroupItem:
    return GroupItem.get(_partition(group_id), _sort_key(_CHUNK, chunk), consistent_read=True)


def _hash(text: bytes) -> str:
    return sha256(text).hexdigest()


def _sort_key(prefix: str, chunk: int) -> str:
    return f"{prefix}{chunk:05d}"


def _partition(group_id: str) -> str:
    return f"group#{group_id}"
