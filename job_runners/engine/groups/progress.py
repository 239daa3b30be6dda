"""Report how many members of a job's group have ended.

The members of a small group are counted at each request. Those of a large one are counted by the
invocation that dispatches them, and then by the timer. Both store the numbers in the parent's row.
Before the timer's first look, and after the parent's end, they are counted at the request.
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


class Seen(Value):
    """The numbers of a group's members, and when they were counted: None if that is now."""

    counts: Counts
    progress: int
    at: int | None


def of_batch(row: JobRequest) -> Seen:
    """Return how many members of a batch have ended.

    Once the batch has ended, members that it didn't dispatch count as canceled.
    """
    total, group = _total(row), group_of_batch(row)
    rest = str(Status.CANCELED) if row.status.finished else OPEN
    if row.last_group_id != group.id:  # none is dispatched yet
        return Seen(_NONE.within(total, rest=rest), 0, None)
    if group.shards == 1:
        counts = Reader(group).count().within(total, rest=rest)
        return Seen(counts, counts.progress, None)
    if row.status is Status.SUCCEEDED:
        found, at = blobs.get(row.result, row.result_key), row.finished_at
        return Seen(_counts(found["total"], found, 0), 100, at)
    return _of_large(row, group, Reader(group), total, rest)


def of_groups(row: JobRequest) -> dict[str, Seen]:
    """Return how many members of each group of a job have ended, by the group's name."""
    return {name: _of_group(row, name, group) for name, group in groups.named_groups(row)}


def _of_group(row: JobRequest, name: str, group: Group) -> Seen:
    reader = Reader(group)
    if group.shards == 1:
        counts = reader.count()
        return Seen(counts, counts.progress, None)
    complete = steps.find(row, f"gathered {name}")
    if complete is not None:
        found = complete.result
        return Seen(_counts(found["total"], found["outcomes"], 0), 100, row.updated_at)
    return _of_large(row, group, reader, reader.dispatched, OPEN)


def group_of_batch(row: JobRequest) -> Group:
    """Return the group of a batch."""
    return groups.new_group(row, BATCH_GROUP, is_large=_total(row) > group_chunks.SIZE)


def actions(parent: JobRequest) -> list[Action]:
    """Return the actions that store the counts of a waiting parent's group, if the group is large.

    The progress of a batch is that of its members.
    """
    group = groups.awaited_group(parent)
    if group.shards == 1:
        return []
    counts = group_counts.count_dispatched(group, Reader(group).count_dispatched())
    found = group_counts.to_stored(group, counts, parent.member_counts)
    stored: list[Action] = [JobRequest.member_counts.set(found)]
    if parent.job_type == Jobs.BATCH:
        progress = _counts(_total(parent), found, found["ended"]).progress
        stored.append(JobRequest.progress.set(max(parent.progress, progress)))
    return stored


def _of_large(row: JobRequest, group: Group, reader: Reader, total: int, rest: str) -> Seen:
    """Return the counts of a large group of `total` members that isn't complete.

    Those that aren't dispatched have the outcome `rest`.
    """
    found = row.member_counts
    found = found if found and found["group"] == group.id else None
    can_count = reader.is_complete or row.held_by == group.held_by
    if row.status.finished or (found is None and can_count):
        counts = group_counts.count_dispatched(group, reader.count_dispatched())
        counts, at = counts.within(max(total, counts.total), rest=rest), None
        found = group_counts.to_stored(group, counts, found)
    elif found is None:
        return Seen(_NONE.within(total, rest=rest), 0, row.created_at)
    else:
        counts, at = _counts(total, found, found["ended"]), found["at"]
    counts = counts.__replace__(ended_once=found["ended"])
    return Seen(counts, counts.progress if counts.total else 0, at)


def _counts(total: int, found: Mapping[str, int], ended_once: int) -> Counts:
    """Return stored counts. Members that were not dispatched then are open."""
    by_outcome = Counter({name: found.get(name, 0) for name in OUTCOMES})
    return Counts.of(by_outcome.total(), by_outcome, ended_once).within(total, rest=OPEN)


_NONE = Counts.of(0, Counter(), 0)


def _total(row: JobRequest) -> int:
    """Return the number of a batch's members, which its payload has."""
    return int(blobs.get(row.payload, row.payload_key)["total"])
