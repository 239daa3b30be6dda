"""Refuse new jobs of an organization that has reached its quota of unfinished jobs, if it has one.

Unfinished jobs are counted in an index that DynamoDB updates with the rows, so the count can't
drift. A process counts at most every 10 seconds, and adds the jobs that it has accepted since then.
It doesn't see the jobs that other processes accept in that time, so these may exceed the quota.

Code from before quotas existed may run for a while during a deploy, or again after a rollback. It
cancels and expires counted jobs without removing them from the index. So a process that finds an
organization at its quota also removes finished rows from the index, some at each count.
"""

from contextlib import suppress
from threading import Lock

from job_runners import clock
from job_runners.aws.errors import AWS_ERRORS
from job_runners.errors import PreconditionFailed, QuotaReached
from job_runners.settings import settings
from job_runners.store import verbs
from job_runners.store.queries import PAGE_LIMIT, count_unfinished, counted_rows

_CACHED = QuotaReached.retry_after * clock.SECOND
_MAX_CACHED = 1_000  # organizations
# By organization: when its jobs were counted, and their number plus the jobs accepted since then.
_counts: dict[str, tuple[int, int]] = {}
# By organization: the sort key up to which the index was checked for finished rows.
_checked_up_to: dict[str, str | None] = {}
_lock = Lock()


def is_on() -> bool:
    """Return whether the stack has a quota."""
    return settings().max_unfinished_jobs > 0


def refuse_if_reached(organization_id: str, number: int = 1) -> None:
    """Raise QuotaReached if this number of further jobs would exceed the organization's quota."""
    quota = settings().max_unfinished_jobs
    if quota and _count(organization_id, quota) + number > quota:
        raise QuotaReached(organization_id, quota, number)


def note_accepted(organization_id: str) -> None:
    """Add a job that this process has accepted to its organization's count."""
    with _lock:  # a bulk dispatch uses threads
        if organization_id in _counts:
            counted_at, number = _counts[organization_id]
            _counts[organization_id] = (counted_at, number + 1)


def forget_cache() -> None:
    """Count again at the next call. For tests."""
    _counts.clear()
    _checked_up_to.clear()


def _count(organization_id: str, quota: int) -> int:
    """Return the number of the organization's unfinished jobs, counted up to its quota."""
    now = clock.now()
    counted_at, number = _counts.get(organization_id, (-_CACHED, 0))
    if 0 <= now - counted_at < _CACHED:
        return number
    if len(_counts) >= _MAX_CACHED:
        _counts.clear()
        _checked_up_to.clear()
    number = 0
    with suppress(*AWS_ERRORS):  # accept the job if the jobs can't be counted
        number = count_unfinished(organization_id, quota)
        if number >= quota:
            _uncount_finished(organization_id)
    _counts[organization_id] = (now, number)
    return number


def _uncount_finished(organization_id: str) -> None:
    """Remove finished jobs from the next page of the index, so that the next count is right."""
    rows = counted_rows(organization_id, _checked_up_to.get(organization_id))
    for row in (row for row in rows if row.status.finished):
        with suppress(PreconditionFailed):  # the job was queued again
            verbs.uncount(row)
    at_end = len(rows) < PAGE_LIMIT
    _checked_up_to[organization_id] = None if at_end else rows[-1].created_key
