"""The items of groups in the coordination table.

A *group* consists of jobs, its *members*, that another job, its *parent*, has dispatched and waits
for. A large group has several *shards*, each with its own DynamoDB partition.

Each member that may be unfinished has a *marker*. The marker is put before the member's row, and
deleted after the member has ended, each in a write of its own. So every unfinished member has a
marker. A leftover marker only delays the group, until the timer deletes it. Each marker has a
random *mark*, by which a new marker of the same member differs from an old one.

Other items are kept next to the markers: one for each member that failed, was canceled, or has no
row of its own.
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
from pynamodb.expressions.update import Action

from job_runners import clock
from job_runners.aws.errors import retry_on_conflict, try_write
from job_runners.store import conditional_write, steps
from job_runners.store.current_wait import GROUP, Wait
from job_runners.store.job_fields import GROUP_PREFIX
from job_runners.store.job_request import JobRequest, Lane, Status, derived_id
from job_runners.store.table import CoordinationItem, Integer, nullable
from job_runners.store.transactions import RecordWrite
from job_runners.values import Value

STEP = "gather "  # the prefix of the name of the step that stores a group's id and shards
_SHARDS = 8  # the number of shards of a large group, which lets 1,000 members end in a second
MAX_LISTED = 100  # groups of one job
_MAX_MEMBERS = 100_000
# The kinds of items, with which their sort keys begin. The id of the member comes after them.
MARKER = "open#"  # a marker
FAILURE = "failed#"  # the member failed, was refused, or was canceled
EXISTING_JOB = "existing#"  # another job does the work of this unique member
_DELETED = "deleted#"  # the member's row was deleted after its end
_KINDS_WITHOUT_ROW = (EXISTING_JOB, FAILURE, _DELETED)  # the member may have no row
_RETRIED = "retried-"  # the prefix of the marks of members that were retried manually


class GroupItem(CoordinationItem):
    """An item of a group: mostly a marker, or a record about one member."""

    erasure = "with its job, by caller_transitions.delete_records"

    pk = UnicodeAttribute(hash_key=True)
    sk = UnicodeAttribute(range_key=True)
    mark = nullable(UnicodeAttribute())  # in a marker: a random id, new at each put
    job_id = nullable(UnicodeAttribute())  # the existing job that does a unique member's work
    error = JSONAttribute(null=True)  # why a member was refused, so that it has no row
    canceled = nullable(BooleanAttribute())  # in a failure: whether the member was canceled
    # Fields of the items of `group_chunks`. `group_failures` also uses `number`, for failures.
    member_keys = nullable(BinaryAttribute(legacy_encoding=False))
    keys_hash = nullable(UnicodeAttribute())
    number = nullable(Integer())  # the number of members in a chunk
    total = nullable(Integer())  # the number of the group's members, in the last chunk
    stopped = nullable(BooleanAttribute())  # see job_runners.store.group_failures
    expires_at = Integer()  # in seconds, for TTL

    @property
    def kind(self) -> str:
        """Return the kind of the item, with which its sort key begins."""
        return f"{str(self.sk).partition('#')[0]}#"

    @property
    def outcome(self) -> str:
        """Return how the member that this failure is about first ended."""
        return str(Status.CANCELED if self.canceled else Status.FAILED)

    @property
    def is_deleted(self) -> bool:
        """Return whether the item records that a member's row was deleted after its end."""
        return self.kind == _DELETED

    @property
    def member_id(self) -> str:
        """Return the id of the member that the item is about."""
        return str(self.sk).partition("#")[2]

    @property
    def put_at(self) -> int:
        """Return when the item was put, in milliseconds since 1970, but precise to the second."""
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
    """Return the group that a job dispatches under a name.

    Once the job has started over with a new payload, it gets another group under the same name.
    """
    group_id = derived_id("group", parent.work_id, str(parent.salt), name)
    return Group(group_id, _SHARDS if is_large else 1)


def awaited_group(parent: JobRequest) -> Group:
    """Return the group that a parent waits for."""
    group_id = str(parent.held_by).removeprefix(GROUP_PREFIX)
    return Group(group_id, int((parent.current_wait or {})["shards"]))


def group_id_of(member: JobRequest) -> str:
    """Return the id of a member's group."""
    return str(member.member_of).rpartition("#")[0]


# --- markers --------------------------------------------------------------------------------------


def put_marker(member_of: str, member_id: str) -> str:
    """Put a marker of a member, and return its mark.

    Because the mark is new, a process that is about to delete an earlier marker doesn't delete this
    one.
    """
    mark = _new_mark()
    retry_on_conflict(lambda: _item(member_of, f"{MARKER}{member_id}", mark=mark).save())
    return mark


def renew_marker(member: JobRequest) -> str:
    """Put a new marker of a member that is retried manually, and return its mark.

    It replaces the marker of the run that has ended, because the process that ended that run may be
    about to delete its marker. If another retry has already put a new marker, return that marker's
    mark. Both retries then use the same marker, and either of them may queue the member.
    """
    mark = f"{_RETRIED}{_new_mark()}"
    marker = _item(str(member.member_of), f"{MARKER}{member.id}", mark=mark)
    # The stored marker belongs to another retry, unless it is the marker of the member's last run,
    # which the row names. That run may have been a retry too.
    is_of_retry = GroupItem.mark.startswith(_RETRIED)
    is_of_another_retry = is_of_retry & (GroupItem.mark != member.member_mark)
    can_be_put = GroupItem.pk.does_not_exist() | ~is_of_another_retry

    def save() -> None:
        retry_on_conflict(lambda: marker.save(can_be_put))

    if try_write(save):
        return mark
    # Return the mark of the other retry. If only the response to the write was lost, it is ours.
    current_marker = find_marker(member)
    return mark if current_marker is None else str(current_marker.mark)


def find_marker(member: JobRequest) -> GroupItem | None:
    """Return the marker of a member, or None if it has none."""
    return GroupItem.find(_partition(str(member.member_of)), f"{MARKER}{member.id}")


def drop_marker(member_of: str, member_id: str, mark: str | None) -> None:
    """Delete the marker of a member that has ended, if it has this mark."""
    marker = _item(member_of, f"{MARKER}{member_id}")
    try_write(lambda: retry_on_conflict(lambda: marker.delete(GroupItem.mark == mark)))


def marker_check(member_of: str, member_id: str, mark: str) -> RecordWrite:
    """Return the check that the marker of a member has this mark."""
    marker = _item(member_of, f"{MARKER}{member_id}")
    return RecordWrite(marker, "check", condition=GroupItem.mark == mark)


def write_to_delete_marker(marker: GroupItem) -> RecordWrite:
    """Return the write that deletes a leftover marker, unless it was replaced since."""
    return RecordWrite(marker, "delete", condition=GroupItem.mark == marker.mark)


def has_open_member(member: JobRequest) -> bool:
    """Return whether any marker is left in the shard of a member."""
    return _has_marker(_partition(str(member.member_of)))


def is_finished(group: Group) -> bool:
    """Return whether no marker is left in any shard. Each shard is read consistently."""
    return not any(map(_has_marker, group.partitions))


def first_markers(partition: str, limit: int, after: str = "") -> list[GroupItem]:
    """Return up to `limit` markers of a shard, ordered by member id, from after the id `after`."""
    start = {"pk": {"S": partition}, "sk": {"S": f"{MARKER}{after}"}} if after else None
    return list(items_of_kind(partition, MARKER, limit=limit, start=start))


# --- failures, and members without a row ----------------------------------------------------------


def note_failed(member_of: str, member_id: str, error: dict[str, Any] | None = None) -> None:
    """Record that a member failed, or was refused with this error."""
    _item(member_of, f"{FAILURE}{member_id}", error=error).save()


def note_canceled(member_of: str, member_id: str) -> None:
    """Record that a member was canceled. Apart from its outcome, it counts as failed."""
    _item(member_of, f"{FAILURE}{member_id}", canceled=True).save()


def note_existing(member_of: str, member_id: str, job_id: str) -> None:
    """Record which existing job does the work of a unique member."""
    _item(member_of, f"{EXISTING_JOB}{member_id}", job_id=job_id).save()


def note_deleted(member_of: str, member_id: str) -> None:
    """Record that the row of a member that has ended is about to be deleted.

    Without this item, an invocation that continues to dispatch the group would conclude that the
    member isn't dispatched yet, and run it again.
    """
    _item(member_of, f"{_DELETED}{member_id}").save()


def items_of_kind(
    partition: str, kind: str, limit: int | None = None, start: dict[str, Any] | None = None
) -> Iterator[GroupItem]:
    """Yield up to `limit` items of a kind in a shard. Each is about one member.

    A member stays among the FAILURE ones even if a manual retry succeeds.
    """
    return iter(
        GroupItem.query(
            partition,
            GroupItem.sk.startswith(kind),
            limit=limit,
            last_evaluated_key=start,
            consistent_read=True,
        )
    )


def count(partition: str, kind: str) -> int:
    """Count the items of a kind in a shard."""
    is_of_kind = GroupItem.sk.startswith(kind)
    return GroupItem.count_up_to(_MAX_MEMBERS, partition, is_of_kind, consistent=True)


def count_failed(group: Group, limit: int) -> int:
    """Count the members that have failed, up to `limit`."""
    is_failure = GroupItem.sk.startswith(FAILURE)
    count = 0
    for partition in group.partitions:
        count += GroupItem.count_up_to(limit - count, partition, is_failure, consistent=True)
    return count


def is_retried(member: JobRequest) -> bool:
    """Return whether a member was retried manually."""
    return (member.member_mark or "").startswith(_RETRIED)


def reasons_without_rows(shards: Mapping[str, str]) -> dict[str, GroupItem]:
    """Return the items that tell why members have no row, by the members' ids.

    `shards` maps each member's id to its `member_of`. Another job does the member's work, or the
    member was refused with an error, or its row was deleted after its end. If a member has several
    items, the first of these reasons takes precedence.
    """
    keys = [
        (_partition(member_of), f"{kind}{member_id}")
        for member_id, member_of in shards.items()
        for kind in _KINDS_WITHOUT_ROW
    ]
    reasons: dict[str, GroupItem] = {}
    for item in GroupItem.batch_get(keys, consistent_read=True):
        earlier = reasons.get(item.member_id)
        if earlier is None or _precedence(item) < _precedence(earlier):
            reasons[item.member_id] = item
    return reasons


def _precedence(item: GroupItem) -> int:
    return _KINDS_WITHOUT_ROW.index(item.kind)


# --- all items of a job ---------------------------------------------------------------------------


def named_groups(parent: JobRequest) -> list[tuple[str, Group]]:
    """Return the names and the groups of a job since it last started over, ordered by name."""
    gather_steps = steps.with_prefix(parent, STEP, after=None, limit=MAX_LISTED)
    return [_name_and_group(step) for step in gather_steps]


def last_group(parent: JobRequest) -> tuple[str, Group]:
    """Return the name and the group that a job has dispatched last."""
    group_id = str(parent.last_group_id)
    for step in steps.with_prefix_in_all_work(parent, STEP):
        name, group = _name_and_group(step)
        if group.id == group_id:
            return name, group
    # The step has expired, so the number of shards isn't known. Return that of a large group: the
    # only shard of a small group is also the first shard of a large one.
    return "", Group(group_id, _SHARDS)


def delete(parent: JobRequest) -> int:
    """Delete all groups of a job, also those from before it started over.

    Return the number of their items.
    """
    partitions = []
    for step in steps.with_prefix_in_all_work(parent, STEP):
        _, group = _name_and_group(step)
        partitions += [_partition(group.id), *group.partitions]
    return GroupItem.delete_partitions(partitions)


def wait_actions(job: JobRequest, wait: Wait, group: Group, stop_after: int | None) -> list[Action]:
    """Return the actions that make a row wait for a group.

    Once `stop_after` members have failed, those that haven't started are canceled.
    """
    now = clock.now()
    due_at = now + conditional_write.GRACE
    group_fields = {"shards": group.shards, "stop_after": stop_after}
    return [
        *conditional_write.hold_actions(job, group.held_by, now, due_at, lane=Lane.WAITS),
        JobRequest.current_wait.set(wait.stored_form() | group_fields),
    ]


def member_wait_actions(job: JobRequest) -> list[Action]:
    """Return the actions that make a canceled job wait until the members of its group end."""
    name, group = last_group(job)
    now = clock.now()
    # By the end of this wait, even the markers of the members have expired.
    wait = Wait(GROUP, name, now, now + steps.LIFETIME)
    return wait_actions(job, wait, group, stop_after=None)


def _name_and_group(step: steps.Step) -> tuple[str, Group]:
    return step.sk.removeprefix(STEP), Group(step.result["id"], step.result["shards"])


def _new_mark() -> str:
    return uuid.uuid4().hex[:20]


def _item(member_of: str, sk: str, **fields: Any) -> GroupItem:
    return GroupItem(_partition(member_of), sk, expires_at=expiry(), **fields)


def expiry() -> int:
    """Return when an item of a group that is put now expires, in seconds since 1970."""
    return clock.expiry(steps.LIFETIME)


def _partition(name: str) -> str:
    return f"group#{name}"


def _has_marker(partition: str) -> bool:
    first_marker = next(items_of_kind(partition, MARKER, limit=1), None)
    return first_marker is not None
