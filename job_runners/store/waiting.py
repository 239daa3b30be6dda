"""Count the jobs that wait in a line or under a pause, up to a limit, for display only.

A *line* has the waiting jobs of one queue and concurrency key. Each waiting job has an *entry* in
its line or under its pause. If organizations take turns in a line, each has a *group* of entries.
The reads aren't consistent, so a count may be a second old.
"""

from typing import Any

from pynamodb.expressions.condition import Condition

from job_runners.store.job_request import JobRequest
from job_runners.store.line_items import WAITING, LineItem
from job_runners.store.pauses import HeldEntry
from job_runners.values import Value

MAX_COUNTED = 1000


class WaitingCount(Value):
    """A number of waiting jobs."""

    count: int = 0  # at most MAX_COUNTED
    more: bool = False  # whether there are more than were counted
    # When the first of the jobs began to wait, in milliseconds since 1970. None if no job waits, or
    # if this time wasn't read.
    oldest: int | None = None


def count_in_line(
    partition_key: str, organization_id: str | None = None, group: str | None = None
) -> WaitingCount:
    """Count the jobs that wait in a line, among its first MAX_COUNTED jobs.

    If `organization_id` is passed, count only jobs of that organization. If the organization has a
    group in the line, pass its name as `group`, to read the first jobs of that group instead.
    """
    prefix = f"{WAITING}{group}#" if group else WAITING
    attributes = ["sk", "organization_id"]
    entries = _read_first(LineItem, partition_key, LineItem.sk.startswith(prefix), attributes)
    waiting_since = [
        entry.waiting_since
        for entry in entries[:MAX_COUNTED]
        if organization_id is None or entry.organization_id == organization_id
    ]
    return _count(waiting_since, more=len(entries) > MAX_COUNTED)


def count_under_pause(pause_key: str) -> WaitingCount:
    """Count the jobs that a pause holds. `pause_key` is its sort key."""
    entries = _read_first(HeldEntry, f"held#{pause_key}", condition=None, attributes=["since"])
    waiting_since = [entry.since for entry in entries[:MAX_COUNTED]]
    return _count(waiting_since, more=len(entries) > MAX_COUNTED)


def count_ahead(job: JobRequest, organization_id: str | None = None) -> WaitingCount:
    """Count the jobs ahead of a waiting job in its line or under its pause.

    In a line whose groups take turns, only jobs of the same group count. If `organization_id` is
    passed, read the first MAX_COUNTED jobs, and count only those of that organization.
    """
    if job.follows is not None:  # it waits for a certain job to end, in no line
        return WaitingCount()
    model: Any
    up_to_job: Condition
    if job.wait_key is not None:  # it waits in a line
        model = LineItem
        partition_key = str(job.held_by)
        first_key = f"{job.wait_key.rpartition('#')[0]}#"  # of "wait#<group>#<time><job id>"
        up_to_job = LineItem.sk.between(first_key, job.wait_key)
    else:  # it waits under a pause
        model = HeldEntry
        partition_key = f"held#{job.held_by}"
        up_to_job = HeldEntry.sk <= job.created_key
    # Read two entries more than are counted. One is the entry of the job itself, which is the last
    # one. The other shows whether more jobs are ahead.
    limit = MAX_COUNTED + 2
    if organization_id is None:
        count_ahead = model.count_up_to(limit, partition_key, up_to_job) - 1
        return WaitingCount(max(0, min(count_ahead, MAX_COUNTED)), more=count_ahead > MAX_COUNTED)
    attributes = ["organization_id"]
    entries = list(model.query(partition_key, up_to_job, limit=limit, attributes_to_get=attributes))
    counted_entries = entries[:-1][:MAX_COUNTED]
    count = sum(entry.organization_id == organization_id for entry in counted_entries)
    return WaitingCount(count, more=len(entries) == limit)


def _read_first(model: Any, partition_key: str, condition: Any, attributes: list[str]) -> list[Any]:
    return list(
        model.query(partition_key, condition, limit=MAX_COUNTED + 1, attributes_to_get=attributes)
    )


def _count(waiting_since: list[int], *, more: bool) -> WaitingCount:
    return WaitingCount(len(waiting_since), more, min(waiting_since, default=None))
