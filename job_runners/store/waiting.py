"""Count the jobs that wait in a line or under a pause, up to a limit, for display.

The reads aren't consistent, so a count may be a second old. No decision depends on it.
"""

from collections.abc import Iterable
from typing import Any

from pynamodb.expressions.condition import Condition

from job_runners.store.job_request import JobRequest
from job_runners.store.line_items import WAITING, LineItem
from job_runners.store.pauses import HeldEntry
from job_runners.values import Value

MAX_COUNTED = 1000  # no more entries than this are counted


class WaitingCount(Value):
    """A number of waiting jobs, counted up to MAX_COUNTED. `more` is True if there are more.

    `oldest` is the earliest time at which one of them began to wait, in milliseconds since 1970. It
    is None if no job waits, or if it isn't determined.
    """

    count: int = 0
    more: bool = False
    oldest: int | None = None


def count_in_line(
    partition_key: str, organization_id: str | None = None, group: str | None = None
) -> WaitingCount:
    """Count the jobs that wait in a line.

    With `organization_id`, read the first MAX_COUNTED jobs of the line, and count only those of
    that organization. If the line has a group for the organization, pass `group`, to read the first
    MAX_COUNTED jobs of that group instead.
    """
    found = _read_first(
        LineItem,
        partition_key,
        LineItem.sk.startswith(f"{WAITING}{group}#" if group else WAITING),
        ["sk", "organization_id"],
    )
    since = [
        entry.waiting_since
        for entry in found[:MAX_COUNTED]
        if organization_id in (None, entry.organization_id)
    ]
    return _waiting(since, len(found) > MAX_COUNTED)


def count_under_pause(pause: str) -> WaitingCount:
    """Count the jobs that a pause holds. `pause` is their `held_by`."""
    found = _read_first(HeldEntry, f"held#{pause}", None, ["since"])
    return _waiting([entry.since for entry in found[:MAX_COUNTED]], len(found) > MAX_COUNTED)


def count_ahead(job: JobRequest, organization_id: str | None = None) -> WaitingCount:
    """Count the jobs ahead of a waiting job in its line or under its pause.

    No job is ahead of a follower. In a line whose groups take turns, only jobs of the job's own
    group count. With `organization_id`, read the first MAX_COUNTED jobs, and count only those of
    that organization.
    """
    if job.follows is not None:
        return WaitingCount()
    model: Any = HeldEntry
    up_to_job: Condition
    partition_key, up_to_job = f"held#{job.held_by}", HeldEntry.sk <= job.created_key
    if job.wait_key is not None:
        first = f"{job.wait_key.rpartition('#')[0]}#"
        model, partition_key, up_to_job = (
            LineItem,
            str(job.held_by),
            LineItem.sk.between(first, job.wait_key),
        )
    limit = MAX_COUNTED + 2  # one more than MAX_COUNTED, and the entry of the job itself
    if organization_id is None:
        ahead = model.count_up_to(limit, partition_key, up_to_job) - 1
        return WaitingCount(max(0, min(ahead, MAX_COUNTED)), ahead > MAX_COUNTED)
    found = list(
        model.query(partition_key, up_to_job, limit=limit, attributes_to_get=["organization_id"])
    )
    own = [each.organization_id == organization_id for each in found[:-1][:MAX_COUNTED]]
    return WaitingCount(sum(own), len(found) == limit)


def _read_first(model: Any, partition_key: str, condition: Any, attributes: list[str]) -> list[Any]:
    return list(
        model.query(partition_key, condition, limit=MAX_COUNTED + 1, attributes_to_get=attributes)
    )


def _waiting(since: Iterable[int], more: bool) -> WaitingCount:
    times = list(since)
    return WaitingCount(len(times), more, min(times, default=None))
