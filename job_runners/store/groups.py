"""The items of a group: jobs (its members) that another job, its parent, dispatched and waits for.

Each member that may be unfinished has a *marker*. The marker is put before the member's row, and
deleted after the member has ended, each in a write of its own. So the markers always include every
unfinished member. A marker too many only delays the group, until the timer deletes it.

The items are in the coordination table. Markers and failures of a group are spread over its shards.
"""

import uuid
from collections.abc import Iterator, Mapping
from typing import Any
from zlib import crc32

from pynamodb.attributes import (
    BinaryAttribute,
    BooleanAttribute,
    JSONAttribute,
    UnicodeAttribute,
)

from job_runners import clock
from job_runners.aws.errors import retry_on_conflict, try_write
from job_runners.store import steps
from job_runners.store.job_fields import GROUP_PREFIX
from job_runners.store.job_request import JobRequest, Status, derived_id
from job_runners.store.table import CoordinationItem, Integer, nullable
from job_runners.store.transactions import RecordWrite
from job_runners.values import Value

STEP = "gather "  # the prefix of the name of the step that stores a group's id and shards
_SHARDS = 8  # of a large group, of which 1,000 members may end in a second
MAX_LISTED = 100  # groups of a job
_MAX_MEMBERS = 100_000  # members of a group
_OPEN = "open#"
_RETRIED = "retried-"  # the prefix of the marks of members that were retried manually
_FAILED = "failed#"
_EXISTING = "existing#"
_DELETED = "deleted#"
_REASONS = (_DELETED, _FAILED, _EXISTING)  # the kinds of items of members that may have no row


class GroupItem(CoordinationItem):
    """An item of a group. Its sort key begins with its kind."""

    erasure = "with its job, by caller_transitions.delete_records"

    pk = UnicodeAttribute(hash_key=True)
    sk = UnicodeAttribute(range_key=True)
    mark = nullable(UnicodeAttribute())  # of a marker: a random name
    job_id = nullable(UnicodeAttribute())  # the existing job that stands for a unique member
    error = JSONAttribute(null=True)  # of a member that was refused, so that it has no row
    member_keys = nullable(BinaryAttribute(legacy_encoding=False))  # see store.group_chunks
    keys_hash = nullable(UnicodeAttribute())
    number = nullable(Integer())  # how many members a chunk has
    stopped = nullable(BooleanAttribute())  # see store.group_failures
    canceled = nullable(BooleanAttribute())  # of a failure: whether the member was canceled
    total = nullable(Integer())  # of the last chunk: how many members the group has
    expires_at = Integer()  # in seconds, for TTL

    @property
    def kind(self) -> str:
        """Return the kind of the item."""
        return f"{str(self.sk).partition('#')[0]}#"

    @property
    def outcome(self) -> str:
        """Return how the member of a failure has ended."""
        return str(Status.CANCELED if self.canceled else Status.FAILED)

    @property
    def is_deleted(self) -> bool:
        """Return whether the item says that the row of a member was deleted after its end."""
        return self.kind == _DELETED

    @property
    def member_id(self) -> str:
        """Return the id of the member that a marker or a failure is about."""
        return str(self.sk).partition("#")[2]

    @property
    def put_at(self) -> int:
        """Return when the item was put, in milliseconds since 1970, to the second."""
        return self.expires_at * clock.SECOND - steps.LIFETIME


class Group(Value):
    """A group and the number of its shards."""

    id: str
    shards: int

    @property
    def held_by(self) -> str:
        """Return the `held_by` of the parent while it waits for this group."""
        return f"{GROUP_PREFIX}{self.id}"

    @property
    def partitions(self) -> list[str]:
        """Return the DynamoDB partitions of the group's markers and failures."""
        return [_partition(f"{self.id}#{shard}") for shard in range(self.shards)]

    def member_id(self, key: str) -> str:
        """Return the id of the member with this key."""
        return derived_id("member", self.id, key)

    def member_of(self, member_id: str) -> str:
        """Return the `member_of` of a member: its group and its shard."""
        return f"{self.id}#{crc32(member_id.encode()) % self.shards}"


def new_group(parent: JobRequest, name: str, *, is_large: bool) -> Group:
    """Return the group of a job's gather. A job that restarts with another payload has others."""
    group_id = derived_id("group", parent.work_id, parent.salt or "", name)
    return Group(group_id, _SHARDS if is_large else 1)


def awaited_group(parent: JobRequest) -> Group:
    """Return the group that a waiting parent waits for."""
    group_id = str(parent.held_by).removeprefix(GROUP_PREFIX)
    return Group(group_id, int((parent.current_wait or {})["shards"]))


def id_of(member: JobRequest) -> str:
    """Return the id of a member's group."""
    return str(member.member_of).rpartition("#")[0]


# --- markers --------------------------------------------------------------------------------------


def put_marker(member_of: str, member_id: str) -> str:
    """Put a fresh marker of a member, and return its mark.

    No other process uses the same mark. So a process that deletes an earlier marker doesn't delete
    this one.
    """
    mark = _new_mark()
    retry_on_conflict(lambda: _item(member_of, f"{_OPEN}{member_id}", mark=mark).save())
    return mark


def renew_marker(member: JobRequest) -> str:
    """Put a fresh marker of a member that is retried manually, and return its mark.

    If another retry has put one in the meantime, return the mark of that one, so that one marker
    belongs to whichever of them queues the member. Only the marker of the run that has ended is
    replaced: the process that ended this run may be about to delete it.
    """
    mark, sk = f"{_RETRIED}{_new_mark()}", f"{_OPEN}{member.id}"
    item = _item(str(member.member_of), sk, mark=mark)
    of_a_retry = GroupItem.mark.startswith(_RETRIED) & (GroupItem.mark != member.member_mark)
    is_free = GroupItem.pk.does_not_exist() | ~of_a_retry
    if try_write(lambda: retry_on_conflict(lambda: item.save(is_free))):
        return mark
    found = find_marker(member)  # this write's own marker, if its answer was lost
    return mark if found is None else str(found.mark)


def find_marker(member: JobRequest) -> GroupItem | None:
    """Return the marker of a member, or None if it has none."""
    return _find(_partition(str(member.member_of)), f"{_OPEN}{member.id}")


def drop_marker(member_of: str, member_id: str, mark: str | None) -> None:
    """Delete the marker of a member that has ended, if it has this mark."""
    marker = _item(member_of, f"{_OPEN}{member_id}")
    try_write(lambda: retry_on_conflict(lambda: marker.delete(GroupItem.mark == mark)))


def marker_check(member_of: str, member_id: str, mark: str) -> RecordWrite:
    """Return the check that the marker of a member has this mark."""
    marker = _item(member_of, f"{_OPEN}{member_id}")
    return RecordWrite(marker, "check", condition=GroupItem.mark == mark)


def sweep_write(marker: GroupItem) -> RecordWrite:
    """Return the write that deletes a marker if it is as it was read."""
    return RecordWrite(marker, "delete", condition=GroupItem.mark == marker.mark)


def has_open_member(member: JobRequest) -> bool:
    """Return whether a marker is left in the shard of a member."""
    return _has_marker(_partition(str(member.member_of)))


def is_finished(group: Group) -> bool:
    """Return whether no marker is left in any shard. Each shard is read consistently."""
    return not any(map(_has_marker, group.partitions))


def first_markers(partition: str, most: int, after: str = "") -> list[GroupItem]:
    """Return the first markers of a shard, or the first ones after that of the member `after`."""
    start = {"pk": {"S": partition}, "sk": {"S": f"{_OPEN}{after}"}} if after else None
    return list(_query(partition, _OPEN, limit=most, start=start))


# --- failures, and members without a row ----------------------------------------------------------


def note_failed(member_of: str, member_id: str, error: dict[str, Any] | None = None) -> None:
    """Record that a member failed, or was refused with this error."""
    _item(member_of, f"{_FAILED}{member_id}", error=error).save()


def note_canceled(member_of: str, member_id: str) -> None:
    """Record that a member was canceled. In other respects, it counts as failed."""
    _item(member_of, f"{_FAILED}{member_id}", canceled=True).save()


def note_existing(member_of: str, member_id: str, job_id: str) -> None:
    """Record the existing job that a unique member was answered with."""
    _item(member_of, f"{_EXISTING}{member_id}", job_id=job_id).save()


def note_deleted(member_of: str, member_id: str) -> None:
    """Record that the row of a member that has ended is about to be deleted.

    Without this item, an invocation that continues to dispatch the group would take the member for
    one that isn't dispatched yet, and run it again.
    """
    _item(member_of, f"{_DELETED}{member_id}").save()


def failed_ids(partition: str, most: int | None = None) -> Iterator[str]:
    """Yield the ids of the members of a shard that have failed, even if they succeeded later. Yield
    up to `most`."""
    return (item.member_id for item in _query(partition, _FAILED, most))


def failure_items(partition: str) -> Iterator[GroupItem]:
    """Yield the items of the members of `failed_ids`."""
    return _query(partition, _FAILED)


def existing_ids(partition: str, most: int | None = None) -> Iterator[str]:
    """Yield the ids of up to `most` members of a shard that were answered with existing jobs."""
    return (item.member_id for item in _query(partition, _EXISTING, most))


def count_open(partition: str) -> int:
    """Count the markers of a shard."""
    return _count(partition, _OPEN)


def count_existing(partition: str) -> int:
    """Count the unique members of a shard that were answered with existing jobs."""
    return _count(partition, _EXISTING)


def count_failed(group: Group, most: int) -> int:
    """Count the members that have failed, up to `most`."""
    found = 0
    for each in group.partitions:
        starts = GroupItem.sk.startswith(_FAILED)
        found += GroupItem.count_up_to(most - found, each, starts, consistent=True)
    return found


def is_retried(member: JobRequest) -> bool:
    """Return whether a member was retried manually."""
    return (member.member_mark or "").startswith(_RETRIED)


def reason_without_row(group: Group, member_id: str) -> GroupItem | None:
    """Return why a member has no row: another job does its work, or an error refused it."""
    member_of = group.member_of(member_id)
    for kind in (_EXISTING, _FAILED):
        found = _find(_partition(member_of), f"{kind}{member_id}")
        if found is not None:
            return found
    return None


def reasons_without_rows(members: Mapping[str, str]) -> dict[str, GroupItem]:
    """Return why members have no row, by id: see `reason_without_row`. A row may also be deleted.

    `members` has the `member_of` of each, by its id.
    """
    keys = [(_partition(of), f"{kind}{each}") for each, of in members.items() for kind in _REASONS]
    found = GroupItem.batch_get(keys, consistent_read=True)
    by_kind = sorted(found, key=lambda item: _REASONS.index(item.kind))
    return {item.member_id: item for item in by_kind}  # the last one counts


# --- all items of a job ---------------------------------------------------------------------------


def named_groups(parent: JobRequest) -> list[tuple[str, Group]]:
    """Return the names and the groups of a job's current work, ordered by name."""
    return list(map(_named, steps.with_prefix(parent, STEP, after=None, limit=MAX_LISTED)))


def last_group(parent: JobRequest) -> tuple[str, Group]:
    """Return the name and the group that a job has dispatched last."""
    group_id = str(parent.last_group_id)
    for name, group in map(_named, steps.with_prefix_in_all_work(parent, STEP)):
        if group.id == group_id:
            return name, group
    return "", Group(group_id, _SHARDS)  # its step has expired; a small group has one of the shards


def delete(parent: JobRequest) -> int:
    """Delete all groups of a job, including those of its work with earlier payloads.

    Return the number of their items.
    """
    groups = [_named(each)[1] for each in steps.with_prefix_in_all_work(parent, STEP)]
    return GroupItem.delete_partitions(
        partition for group in groups for partition in (_partition(group.id), *group.partitions)
    )


def _named(step: steps.Step) -> tuple[str, Group]:
    return step.sk.removeprefix(STEP), Group(step.result["id"], step.result["shards"])


def _new_mark() -> str:
    return uuid.uuid4().hex[:20]


def _item(member_of: str, sk: str, **fields: Any) -> GroupItem:
    return GroupItem(_partition(member_of), sk, expires_at=expiry(), **fields)


def expiry() -> int:
    """Return when an item of a group that is put now expires, in seconds since 1970."""
    return (clock.now() + steps.LIFETIME) // clock.SECOND


def _partition(name: str) -> str:
    return f"group#{name}"


def _has_marker(partition: str) -> bool:
    return any(True for _ in _query(partition, _OPEN, limit=1))


def _query(
    partition: str, kind: str, limit: int | None = None, start: dict[str, Any] | None = None
) -> Iterator[GroupItem]:
    return iter(
        GroupItem.query(
            partition,
            GroupItem.sk.startswith(kind),
            limit=limit,
            last_evaluated_key=start,
            consistent_read=True,
        )
    )


def _count(partition: str, kind: str) -> int:
    return GroupItem.count_up_to(
        _MAX_MEMBERS, partition, GroupItem.sk.startswith(kind), consistent=True
    )


def _find(partition: str, sk: str) -> GroupItem | None:
    try:
        return GroupItem.get(partition, sk, consistent_read=True)
    except GroupItem.DoesNotExist:
        return None
