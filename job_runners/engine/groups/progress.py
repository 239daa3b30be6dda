"""Report how many members of a group have ended.

A *parent* is a job that waits for a group of jobs, its *members*. A *batch* is a job that only
dispatches a group. A *shard* is a partition of the table that stores a part of a group.

A small group has one shard, and each request counts its members. A large group has several, and its
members are counted less often: by the invocation that dispatches them, and then by the timer. Both
store the counts in the parent's row. A request counts a large group only if the row has no counts
yet, or after the parent's end.
"""

from collections import Counter
from collections.abc import Mapping

from pynamodb.expressions.update import Action

from job_runners.shipped.jobs.names import BATCH_GROUP, Jobs
from job_runners.store import blobs, group_chunks, group_counts, groups, steps
from job_runners.store.group_counts import Counts
from job_runners.store.group_members import Reader
from job_runners.store.groups import Group
from job_runners.store.job_request import JobRequest, Status
from job_runners.store.member_outcomes import OPEN, OUTCOMES
from job_runners.values import Value

_NO_COUNTS = Counts.of(0, Counter(), 0)


class GroupProgress(Value):
    """How many of a group's members have ended."""

    counts: Counts
    progress: int  # percent
    at: int | None  # when the members were counted; None if this request counted them


def of_batch(row: JobRequest) -> GroupProgress:
    """Return how many members of a batch have ended.

    Once the batch has ended, members that it didn't dispatch count as canceled.
    """
    total = _total(row)
    group = group_of_batch(row)
    undispatched = str(Status.CANCELED) if row.status.finished else OPEN
    if row.last_group_id != group.id:  # the batch hasn't dispatched any member yet
        return GroupProgress(_NO_COUNTS.within(total, rest=undispatched), progress=0, at=None)
    if group.shards == 1:
        counts = Reader(group).count().within(total, rest=undispatched)
        return GroupProgress(counts, counts.progress, at=None)
    if row.status is Status.SUCCEEDED:
        result = blobs.get(row.result, row.result_key)
        counts = _as_counts(result["total"], result, ended_once=0)
        return GroupProgress(counts, progress=100, at=row.finished_at)
    return _of_open_large_group(row, group, Reader(group), total, undispatched)


def of_groups(row: JobRequest) -> dict[str, GroupProgress]:
    """Return how many members of each of a job's groups have ended, by the group's name."""
    return {name: _of_group(row, name, group) for name, group in groups.named_groups(row)}


def _of_group(row: JobRequest, name: str, group: Group) -> GroupProgress:
    reader = Reader(group)
    if group.shards == 1:
        counts = reader.count()
        return GroupProgress(counts, counts.progress, at=None)
    step = steps.find(row, f"gathered {name}")  # stored once the group is complete
    if step is not None:
        counts = _as_counts(step.result["total"], step.result["outcomes"], ended_once=0)
        return GroupProgress(counts, progress=100, at=row.updated_at)
    return _of_open_large_group(row, group, reader, reader.dispatched, OPEN)


def group_of_batch(row: JobRequest) -> Group:
    """Return the group of a batch."""
    return groups.new_group(row, BATCH_GROUP, is_large=_total(row) > group_chunks.SIZE)


def actions_that_store_counts(parent: JobRequest) -> list[Action]:
    """Return the actions that store the counts of a waiting parent's group in the parent's row.

    A small group needs no actions, because each request counts its members. For a batch, the
    actions also store the job's progress, which is the share of its members that have ended.
    """
    group = groups.awaited_group(parent)
    if group.shards == 1:
        return []
    counts = group_counts.count_dispatched(group, Reader(group).count_dispatched())
    new_counts = group_counts.to_stored(group, counts, parent.member_counts)
    actions: list[Action] = [JobRequest.member_counts.set(new_counts)]
    if parent.job_type == Jobs.BATCH:
        progress = _as_counts(_total(parent), new_counts, new_counts["ended"]).progress
        actions.append(JobRequest.progress.set(max(parent.progress, progress)))
    return actions


def _of_open_large_group(
    row: JobRequest, group: Group, reader: Reader, total: int, undispatched: str
) -> GroupProgress:
    """Return the counts of a large group of `total` members that isn't complete.

    Use the counts in the parent's row (`row`). If there are none, or the parent has ended, count
    now. If the group can't be counted now, report that no member has ended. Members that aren't
    dispatched are counted under the outcome `undispatched`.
    """
    stored = row.member_counts
    if stored and stored["group"] != group.id:
        stored = None  # these are the counts of an earlier group
    can_count = reader.is_complete or row.held_by == group.held_by
    if row.status.finished or (not stored and can_count):
        counts = group_counts.count_dispatched(group, reader.count_dispatched())
        counts = counts.within(max(total, counts.total), rest=undispatched)
        counted_at = None
        stored = group_counts.to_stored(group, counts, stored)
    elif not stored:
        counts = _NO_COUNTS.within(total, rest=undispatched)
        return GroupProgress(counts, progress=0, at=row.created_at)
    else:
        counts = _as_counts(total, stored, stored["ended"])
        counted_at = stored["at"]
    # The progress shows how many members have ended at least once, so that it never goes back when
    # a member is retried.
    counts = counts.__replace__(ended_once=stored["ended"])
    return GroupProgress(counts, counts.progress if counts.total else 0, counted_at)


def _as_counts(total: int, stored: Mapping[str, int], ended_once: int) -> Counts:
    """Convert stored counts by outcome to Counts. The rest of the `total` members count as open."""
    by_outcome = Counter({name: stored.get(name, 0) for name in OUTCOMES})
    return Counts.of(by_outcome.total(), by_outcome, ended_once).within(total, rest=OPEN)


def _total(row: JobRequest) -> int:
    """Return the number of a batch's members, which is in its payload."""
    return int(blobs.get(row.payload, row.payload_key)["total"])
