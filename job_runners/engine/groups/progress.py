"""Report how many members of a job's group have ended.

The members of a small group are counted at each request. Those of a large one are counted by the
timer, which stores the numbers in the owner's row.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from pynamodb.expressions.update import Action

from job_runners import clock
from job_runners.shipped.jobs.names import BATCH_GROUP, Jobs
from job_runners.store import blobs, group_chunks, group_counts, groups, steps
from job_runners.store.group_counts import OPEN, OUTCOMES, Counts
from job_runners.store.group_members import Reader
from job_runners.store.groups import Group
from job_runners.store.job_request import JobRequest, Status
from job_runners.values import Value

_MOST_READ = 2_000  # rows of failed members that one look reads


class Seen(Value):
    """The numbers of a group's members, and when they were counted: None if that is now."""

    counts: Counts
    progress: int
    at: int | None


def of_batch(row: JobRequest) -> Seen:
    """Return how many members of a batch have ended."""
    total = _total(row)
    group = groups.new_group(row, BATCH_GROUP, is_large=total > group_chunks.SIZE)
    if row.gathers != group.id:  # none is dispatched yet
        return Seen(Counts.of(total, Counter({OPEN: total}), 0), 0, None)
    if total <= group_chunks.SIZE:
        counts = Reader(group).count(total)
        return Seen(counts, counts.progress, None)
    return _stored(row, total)


def of_groups(row: JobRequest) -> dict[str, Seen]:
    """Return how many members of each group of a job have ended, by the group's name."""
    return {name: _of_group(row, name, group) for name, group in groups.named(row)}


def _of_group(row: JobRequest, name: str, group: Group) -> Seen:
    reader = Reader(group)
    if group.shards == 1:
        counts = reader.count(reader.dispatched)
        return Seen(counts, counts.progress, None)
    complete = steps.find(row, f"gathered {name}")
    if complete is not None:
        found = complete.result
        return Seen(_counts(found["total"], found["outcomes"]), 100, row.updated_at)
    return _last_seen(row, group.id, reader.dispatched)


def group_of_batch(row: JobRequest) -> Group:
    """Return the group of a batch."""
    return groups.new_group(row, BATCH_GROUP, is_large=_total(row) > group_chunks.SIZE)


def actions(owner: JobRequest) -> list[Action]:
    """Return the actions that store the counts of a waiting owner's group, if the group is large.

    The progress of a batch is that of its members.
    """
    group = groups.awaited_by(owner)
    total = None if group.shards == 1 else group_chunks.dispatched(group.id).total
    if total is None:
        return []
    counts = group_counts.dispatched(group, total, most=_MOST_READ)
    earlier = _counted(owner, group.id) or {}
    progress = max(counts.progress, earlier.get("progress", 0))
    found = {"group": group.id, "at": clock.now(), "progress": progress, **counts.by_outcome}
    stored: list[Action] = [JobRequest.member_counts.set(found)]
    if owner.job_type == Jobs.BATCH:
        stored.append(JobRequest.progress.set(max(owner.progress, progress)))
    return stored


def _stored(row: JobRequest, total: int) -> Seen:
    """Return the counts of a large batch: those of its result, or of the timer's last look."""
    if row.status is Status.SUCCEEDED:
        found, at = blobs.get(row.result, row.result_key), row.finished_at
        return Seen(_counts(total, found), 100, at)
    return _last_seen(row, str(row.gathers), total)


def _last_seen(row: JobRequest, group_id: str, total: int) -> Seen:
    """Return the counts of a group at the timer's last look."""
    found = _counted(row, group_id)
    if found is None:
        return Seen(Counts.of(total, Counter({OPEN: total}), 0), 0, row.created_at)
    return Seen(_counts(total, found), found["progress"], found["at"])


def _counted(row: JobRequest, group_id: str) -> dict[str, Any] | None:
    found: dict[str, Any] | None = row.member_counts
    return found if found and found["group"] == group_id else None


def _counts(total: int, found: Mapping[str, int]) -> Counts:
    return Counts.of(total, Counter({name: found.get(name, 0) for name in OUTCOMES}), 0)


def _total(row: JobRequest) -> int:
    """Return the number of a batch's members, which its payload has."""
    return int(blobs.get(row.payload, row.payload_key)["total"])
