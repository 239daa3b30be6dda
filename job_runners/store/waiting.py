"""Count the jobs that wait in a line or under a pause, up to a limit, for display only.

The reads aren't consistent, so a count may be a second old.
"""

from typing import Any

from pynamodb.expressions.condition import Condition

from job_runners.store.job_request import JobRequest
from job_runners.store.line_items import WAITING, LineItem
from job_runners.store.pauses import HeldEntry
from job_runners.values import Value

MAX_COUNTED = 1000  # entries


class WaitingCount(Value):
    """A number of waiting jobs."""

    count: int = 0  # at most MAX_COUNTED
    more: bool = False  # whether there are more than that
    # When the first of them began to wait, in milliseconds since 1970. None if no job waits, or if
    # that isn't determined.
    oldest: int | None = None


def count_in_line(
    partition_key: str, organization_id: str | None = None, group: str | None = None
) -> WaitingCount:
    """Count the jobs that wait in a line.

    With `organization_id`, read the first MAX_COUNTED jobs of the line, and count only those of
    that organization. If the line has a group for the organization, pass `group` too: then the
    first MAX_COUNTED jobs of that group are read instead.
    """
    prefix = f"{WAITING}{group}#" if group else WAITING
    attributes = ["sk", "organization_id"]
    entries = _read_first(LineItem, partition_key, LineItem.sk.startswith(prefix), attributes)
    waiting_since = [
        entry.waiting_since
        for entry in entries[:MAX_COUNTED]
        if organization_id in (None, entry.organization_id)
    ]
    return _count(waiting_since, more=len(entries) > MAX_COUNTED)


def count_under_pause(pause: str) -> WaitingCount:
    """Count the jobs that a pause holds. `pause` is its sort key."""
    entries = _read_first(HeldEntry, f"held#{pause}", None, ["since"])
    waiting_since = [entry.since for entry in entries[:MAX_COUNTED]]
    return _count(waiting_since, more=len(entries) > MAX_COUNTED)


def count_ahead(job: JobRequest, organization_id: str | None = None) -> WaitingCount:
    """Count the jobs ahead of a waiting job in its line or under its pause.

    No job is ahead of a follower. In a line whose groups take turns, only jobs of the job's own
    group count. With `organization_id`, read the first MAX_COUNTED jobs, and count only those of
    that organization.
    """
    if job.follows is not None:
        return WaitingCount()
    model: Any
    up_to_job: Condition
    if job.wait_key is not None:
        model = LineItem
        partition_key = str(job.held_by)
        prefix = f"{job.wait_key.rpartition('#')[0]}#"
        up_to_job = LineItem.sk.between(prefix, job.wait_key)
    else:
        model = HeldEntry
        partition_key = f"held#{job.held_by}"
        up_to_job = HeldEntry.sk <= job.created_key
    limit = (
        MAX_COUNTED + 2
    )  # the entry of the job itself, and one that shows whether there are more
    if organization_id is None:
        ahead = model.count_up_to(limit, partition_key, up_to_job) - 1
        return WaitingCount(max(0, min(ahead, MAX_COUNTED)), ahead > MAX_COUNTED)
    entries = list(
        model.query(partition_key, up_to_job, limit=limit, attributes_to_get=["organization_id"])
    )
    ahead_entries = entries[:-1][:MAX_COUNTED]  # without the last one, which is that of the job
    count = sum(entry.organization_id == organization_id for entry in ahead_entries)
    return WaitingCount(count, len(entries) == limit)


def _read_first(model: Any, partition_key: str, condition: Any, attributes: list[str]) -> list[Any]:
    return list(
        model.query(partition_key, condition, limit=MAX_COUNTED + 1, attributes_to_get=attributes)
    )


def _count(waiting_since: list[int], *, more: bool) -> WaitingCount:
    return WaitingCount(len(waiting_since), more, min(waiting_since, default=None))
