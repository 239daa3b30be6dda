"""The items of groups in the coordination table.

A job, the *parent*, dispatches a *group* of other jobs, its *members*, and waits until they end.
The items of a large group are spread over several *shards*, each of which is a DynamoDB partition.

A member has a *marker* for as long as it may be unfinished. The process that dispatches the member
first writes the marker, and then saves the member's row. The process that ends the member deletes
the marker afterwards. If one of them dies in between, a marker is left over. It delays the group
until the timer function deletes it. Each marker has a random `mark`, so that a late deletion of an
old marker can't delete the member's next one.

A member that failed, was canceled, or has no row of its own also has an item that says so.
"""

import uuid
from collections.abc import Callable, Iterator, Mapping
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

# A step named "gather NAME" stores the id and the number of shards of the parent's group NAME.
STEP_PREFIX = "gather "
_LARGE_GROUP_SHARDS = 8  # enough for 1,000 members that end within a second
MAX_LISTED = 100  # how many groups of a job are listed
_MAX_MEMBERS = 100_000
# The kinds of items. An item's sort key is its kind and the member's id.
MARKER = "open#"
FAILURE = "failed#"  # the member failed, was refused, or was canceled
EXISTING_JOB = "existing#"  # an existing job with the same unique key does the member's work
_DELETED = "deleted#"  # the member's row was deleted after its end
# The kinds that explain why a member has no row. The first one that a member has takes precedence.
_MISSING_ROW_KINDS = (EXISTING_JOB, FAILURE, _DELETED)
_RETRIED = "retried-"  # begins the marks of members that were retried manually


class GroupItem(CoordinationItem):
    """An item of a group. Most are markers, or records about one member."""

    how_erased = "with its job, by caller_transitions.delete_records"

    pk = UnicodeAttribute(hash_key=True)
    sk = UnicodeAttribute(range_key=True)
    expires_at = Integer()  # in seconds, for TTL
    mark = nullable(UnicodeAttribute())  # only in a MARKER: random, and new in each marker
    job_id = nullable(UnicodeAttribute())  # only in an EXISTING_JOB: the id of that job
    error = JSONAttribute(null=True)  # only in a FAILURE: why the member was refused, if it was
    canceled = nullable(BooleanAttribute())  # only in a FAILURE: whether the member was canceled
    # In the items of `group_chunks`: the keys of up to 1,000 members, their hash and their number.
    # The last of these items also has the number of all members as `total`.
    member_keys = nullable(BinaryAttribute(legacy_encoding=False))
    keys_hash = nullable(UnicodeAttribute())
    number = nullable(Integer())
    total = nullable(Integer())
    # In the item of `group_failures`, `number` is the number of failures.
    stopped = nullable(BooleanAttribute())

    @property
    def kind(self) -> str:
        """Return the kind of the item, such as MARKER."""
        return f"{str(self.sk).partition('#')[0]}#"

    @property
    def outcome(self) -> str:
        """Return the outcome of a FAILURE. A manual retry may have changed the member's since."""
        return str(Status.CANCELED if self.canceled else Status.FAILED)

    @property
    def is_deleted(self) -> bool:
        """Return whether the item records that the member's row was deleted after its end."""
        return self.kind == _DELETED

    @property
    def member_id(self) -> str:
        """Return the id of the member that the item is about."""
        return str(self.sk).partition("#")[2]

    @property
    def written_at(self) -> int:
        """Return when the item was written, in milliseconds since 1970, rounded to seconds."""
        return self.expires_at * clock.SECOND - steps.LIFETIME


class Group(Value):
    """A group and the number of its shards."""

    id: str
    shards: int

    @property
    def held_by(self) -> str:
        """Return the value of the field `held_by` in the parent's row while it waits."""
        return f"{GROUP_PREFIX}{self.id}"

    @property
    def partitions(self) -> list[str]:
        """Return the DynamoDB partitions of the group's shards."""
        return [_partition(f"{self.id}#{number}") for number in range(self.shards)]

    def member_id(self, key: str) -> str:
        """Return the id of the member with this key, which the parent chose."""
        return derived_id("member", self.id, key)

    def shard_of(self, member_id: str) -> str:
        """Return the name of a member's shard. The member's row has it in `member_of`."""
        return f"{self.id}#{crc32(member_id.encode()) % self.shards}"


def new_group(parent: JobRequest, name: str, *, is_large: bool) -> Group:
    """Return the group that a job dispatches under a name.

    If the job starts over with a new payload, its `work_id` changes, and so does the group.
    """
    group_id = derived_id("group", parent.work_id, str(parent.salt), name)
    return Group(group_id, _LARGE_GROUP_SHARDS if is_large else 1)


def awaited_group(parent: JobRequest) -> Group:
    """Return the group that a parent waits for."""
    group_id = str(parent.held_by).removeprefix(GROUP_PREFIX)
    wait: Any = parent.current_wait
    return Group(group_id, int(wait["shards"]))


def group_id_of(member: JobRequest) -> str:
    """Return the id of a member's group."""
    return str(member.member_of).rpartition("#")[0]


# --- markers --------------------------------------------------------------------------------------


def put_marker(shard: str, member_id: str) -> str:
    """Write a marker for a member, and return its `mark`."""
    mark = _new_mark()
    marker = _item(shard, f"{MARKER}{member_id}", mark=mark)
    retry_on_conflict(marker.save)
    return mark


def renew_marker(member: JobRequest) -> str:
    """Write a new marker for a member that is retried manually, and return its `mark`.

    It replaces the marker of the last run, if that run's process has not yet deleted it. If another
    retry has already written a new marker, return that marker's `mark`: both retries share the
    marker, and either of them may queue the member.
    """
    mark = f"{_RETRIED}{_new_mark()}"
    marker = _item(str(member.member_of), f"{MARKER}{member.id}", mark=mark)
    # If the stored marker was written for a retry, it is either that of the last run, which the
    # member's row names, or that of another retry.
    is_of_other_retry = GroupItem.mark.startswith(_RETRIED) & (GroupItem.mark != member.member_mark)
    condition = GroupItem.pk.does_not_exist() | ~is_of_other_retry
    if _try_write(lambda: marker.save(condition)):
        return mark
    # The stored marker belongs to another retry. Or it is this one, and only the response was lost.
    stored_marker = find_marker(member)
    return mark if stored_marker is None else str(stored_marker.mark)


def find_marker(member: JobRequest) -> GroupItem | None:
    """Return the marker of a member, or None if it has none."""
    return GroupItem.find(_partition(str(member.member_of)), f"{MARKER}{member.id}")


def drop_marker(shard: str, member_id: str, mark: str | None) -> None:
    """Delete the marker of a member that has ended, if it has this `mark`."""
    marker = _item(shard, f"{MARKER}{member_id}")
    _try_write(lambda: marker.delete(GroupItem.mark == mark))


def marker_check(shard: str, member_id: str, mark: str) -> RecordWrite:
    """Return a check that makes a transaction fail unless the member's marker has this `mark`."""
    marker = _item(shard, f"{MARKER}{member_id}")
    return RecordWrite(marker, "check", condition=GroupItem.mark == mark)


def write_to_delete_marker(marker: GroupItem) -> RecordWrite:
    """Return the write that deletes a leftover marker, unless it has been replaced since."""
    return RecordWrite(marker, "delete", condition=GroupItem.mark == marker.mark)


def shard_has_marker(member: JobRequest) -> bool:
    """Return whether any marker is left in a member's shard."""
    return _has_marker(_partition(str(member.member_of)))


def is_finished(group: Group) -> bool:
    """Return whether no shard has a marker. Each shard is read consistently."""
    return not any(map(_has_marker, group.partitions))


def first_markers(partition: str, limit: int, last_seen: str = "") -> list[GroupItem]:
    """Return up to `limit` markers of a shard, ordered by member id.

    If `last_seen` is a member id, return the markers that follow it.
    """
    start = None
    if last_seen:
        start = {"pk": {"S": partition}, "sk": {"S": f"{MARKER}{last_seen}"}}
    return list(items_of_kind(partition, MARKER, limit=limit, start=start))


# --- failures, and members without a row ----------------------------------------------------------


def note_failed(shard: str, member_id: str, error: dict[str, Any] | None = None) -> None:
    """Record that a member failed, or was refused with this error."""
    _item(shard, f"{FAILURE}{member_id}", error=error).save()


def note_canceled(shard: str, member_id: str) -> None:
    """Record that a member was canceled. The group also counts it as a failure."""
    _item(shard, f"{FAILURE}{member_id}", canceled=True).save()


def note_existing(shard: str, member_id: str, job_id: str) -> None:
    """Record that the job `job_id`, which has the same unique key, does a member's work."""
    _item(shard, f"{EXISTING_JOB}{member_id}", job_id=job_id).save()


def note_deleted(shard: str, member_id: str) -> None:
    """Record that the row of a member that has ended is about to be deleted.

    Without this item, the parent's next invocation might conclude that the member was not yet
    dispatched, and run it again.
    """
    _item(shard, f"{_DELETED}{member_id}").save()


def items_of_kind(
    partition: str, kind: str, limit: int | None = None, start: dict[str, Any] | None = None
) -> Iterator[GroupItem]:
    """Yield up to `limit` items of a kind in a shard. Each is about one member.

    A member keeps its FAILURE even if a manual retry succeeds.
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
    has_kind = GroupItem.sk.startswith(kind)
    return GroupItem.count_up_to(_MAX_MEMBERS, partition, has_kind, consistent=True)


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


def reasons_for_missing_rows(shards: Mapping[str, str]) -> dict[str, GroupItem]:
    """Return items that explain why members have no row. The keys are the members' ids.

    `shards` maps the members' ids to their shards. An existing job does the member's work, or the
    member was refused with an error, or its row was deleted after its end.
    """
    keys = [
        (_partition(shard), f"{kind}{member_id}")
        for member_id, shard in shards.items()
        for kind in _MISSING_ROW_KINDS
    ]
    reasons: dict[str, GroupItem] = {}
    for item in GroupItem.batch_get(keys, consistent_read=True):
        other_reason = reasons.get(item.member_id)
        if other_reason is None or _precedence(item) < _precedence(other_reason):
            reasons[item.member_id] = item
    return reasons


def _precedence(item: GroupItem) -> int:
    return _MISSING_ROW_KINDS.index(item.kind)


# --- the groups of a job --------------------------------------------------------------------------


def named_groups(parent: JobRequest) -> list[tuple[str, Group]]:
    """Return a job's groups and their names, ordered by name.

    Groups from before the job last started over are left out.
    """
    gather_steps = steps.with_prefix(parent, STEP_PREFIX, after=None, limit=MAX_LISTED)
    return [_name_and_group(step) for step in gather_steps]


def last_group(parent: JobRequest) -> tuple[str, Group]:
    """Return the group that a job dispatched most recently, and its name.

    If the step with the name and the number of shards has expired, return an empty name, and eight
    shards. These include the only shard of a small group.
    """
    group_id = str(parent.last_group_id)
    for step in steps.with_prefix_in_all_work(parent, STEP_PREFIX):
        name, group = _name_and_group(step)
        if group.id == group_id:
            return name, group
    return "", Group(group_id, _LARGE_GROUP_SHARDS)


def delete(parent: JobRequest) -> int:
    """Delete all groups of a job, including those from before it started over.

    Return the number of deleted items.
    """
    partitions = []
    for step in steps.with_prefix_in_all_work(parent, STEP_PREFIX):
        _, group = _name_and_group(step)
        # `group_chunks` and `group_failures` use a partition named by the group's id alone.
        partitions += [_partition(group.id), *group.partitions]
    return GroupItem.delete_partitions(partitions)


def wait_actions(job: JobRequest, wait: Wait, group: Group, stop_after: int | None) -> list[Action]:
    """Return the actions that make a row wait for a group.

    Once `stop_after` members have failed, the members that haven't started are canceled.
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
    # The wait ends when even the members' markers have expired.
    wait = Wait(GROUP, name, now, now + steps.LIFETIME)
    return wait_actions(job, wait, group, stop_after=None)


def _name_and_group(step: steps.Step) -> tuple[str, Group]:
    return step.sk.removeprefix(STEP_PREFIX), Group(step.result["id"], step.result["shards"])


def _new_mark() -> str:
    return uuid.uuid4().hex[:20]


def _item(shard: str, sk: str, **fields: Any) -> GroupItem:
    return GroupItem(_partition(shard), sk, expires_at=expiry(), **fields)


def _try_write(write: Callable[[], object]) -> bool:
    """Make a conditional write. Return False if its condition failed."""
    return try_write(lambda: retry_on_conflict(write))


def expiry() -> int:
    """Return the expiry of an item that is written now, in seconds since 1970."""
    return clock.expiry(steps.LIFETIME)


def _partition(shard: str) -> str:
    return f"group#{shard}"


def _has_marker(partition: str) -> bool:
    first_marker = next(items_of_kind(partition, MARKER, limit=1), None)
    return first_marker is not None
