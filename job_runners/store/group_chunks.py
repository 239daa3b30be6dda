"""Store the keys of a group's members, in the order in which the parent listed them.

The *parent* is the job that dispatches the members, and it gives each of them a *key*. The keys are
stored in *chunks* of 1,000. An item with a chunk's keys is written before the first member of the
chunk is dispatched. Another item, with the prefix `done#`, is written after its last member is
dispatched. For the last chunk, that item also has the number of all members of the group.

In this module, an argument named `chunk` is the index of a chunk.
"""

import json
import zlib
from hashlib import sha256

from job_runners.aws.errors import try_write
from job_runners.store.blobs import compact_json, compressed
from job_runners.store.groups import GroupItem, expiry
from job_runners.values import Value

SIZE = 1_000  # the number of keys in a chunk; the last chunk may have fewer
_KEYS_PREFIX = "chunk#"
_DONE_PREFIX = "done#"


class DispatchedChunks(Value):
    """Those chunks of a group that are dispatched completely."""

    sizes: dict[int, int]  # from the index of each chunk to the number of its keys
    total: int | None  # the number of all members, or None if some of them are not yet dispatched


def read_dispatched(group_id: str) -> DispatchedChunks:
    """Return those chunks of a group that are dispatched completely."""
    is_done = GroupItem.sk.startswith(_DONE_PREFIX)
    sizes = {}
    total = None
    for item in GroupItem.query(_partition(group_id), is_done, consistent_read=True):
        chunk = int(item.sk.removeprefix(_DONE_PREFIX))
        sizes[chunk] = item.number or 0
        total = item.total  # only the item of the last chunk, which is read last, has it
    return DispatchedChunks(sizes, total)


def put(group_id: str, chunk: int, keys: list[str]) -> bool:
    """Store the keys of a chunk. Return False if the chunk is already stored."""
    text = compact_json(keys)
    item = GroupItem(
        _partition(group_id),
        _sort_key(_KEYS_PREFIX, chunk),
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

    `size` is the number of the chunk's members. With the last chunk, pass the number of all members
    of the group as `total`.
    """
    GroupItem(
        _partition(group_id),
        _sort_key(_DONE_PREFIX, chunk),
        number=size,
        total=total,
        expires_at=expiry(),
    ).save()


def read_keys(group_id: str, chunk: int) -> list[str]:
    """Return the keys of a chunk in order. Raises GroupItem.DoesNotExist if it isn't stored."""
    return _decoded_keys(_get(group_id, chunk))


def find_keys(group_id: str, chunk: int) -> list[str]:
    """Return the keys of a chunk in order, or an empty list if the chunk isn't stored."""
    item = GroupItem.find(_partition(group_id), _sort_key(_KEYS_PREFIX, chunk))
    return [] if item is None else _decoded_keys(item)


def _decoded_keys(item: GroupItem) -> list[str]:
    keys: list[str] = json.loads(zlib.decompress(item.member_keys or b""))
    return keys


def _get(group_id: str, chunk: int) -> GroupItem:
    return GroupItem.get(_partition(group_id), _sort_key(_KEYS_PREFIX, chunk), consistent_read=True)


def _hash(text: bytes) -> str:
    return sha256(text).hexdigest()


def _sort_key(prefix: str, chunk: int) -> str:
    return f"{prefix}{chunk:05d}"


def _partition(group_id: str) -> str:
    return f"group#{group_id}"
