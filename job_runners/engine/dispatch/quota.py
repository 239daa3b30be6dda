"""Refuse new jobs of an organization that has reached its quota of unfinished jobs, if it has one.

Unfinished jobs are counted in an index that DynamoDB updates with the rows, so the count can't
drift. A process counts at most every 10 seconds, and adds the jobs that it has accepted since then.
It doesn't see the jobs that other processes accept in that time, so these may exceed the quota.

A batch is refused if its members would exceed the quota. Then the members of unfinished batches
that are not dispatched yet count too.
"""

from collections.abc import Callable
from contextlib import suppress
from threading import Lock

from job_runners import caches, clock
from job_runners.aws.errors import AWS_ERRORS
from job_runners.errors import QuotaReached
from job_runners.settings import settings
from job_runners.store.job_request import JobRequest, unfinished_key
from job_runners.store.queries import count_unfinished, counted_batches

_CACHED = QuotaReached.retry_after * clock.SECOND
_MAX_CACHED = 1_000  # organizations
# By key of the index `unfinished`, that of an organization or of its batches: when the jobs were
# counted, and their number plus the jobs accepted since then.
_counts: dict[str, tuple[int, int]] = {}
caches.register(_counts.clear)
_lock = Lock()


def refuse_if_reached(organization_id: str, number: int = 1) -> None:
    """Raise QuotaReached if this number of further jobs would exceed the organization's quota."""
    quota = settings().max_unfinished_jobs
    if quota and _count(organization_id, quota) + number > quota:
        raise QuotaReached(organization_id, quota, number)


def refuse_batch_if_reached(organization_id: str, total: int) -> None:
    """Raise QuotaReached if a batch of `total` members would exceed the organization's quota."""
    quota = settings().max_unfinished_jobs
    if not quota:
        return
    number = _count(organization_id, quota)
    number += _cached(unfinished_key(organization_id, total), _count_batches, quota)
    if number + total + 1 > quota:
        raise QuotaReached(organization_id, quota, total + 1)


def note_saved(row: JobRequest) -> None:
    """Add a job that this process has saved to the count of its organization, or of its batches."""
    key = str(row.unfinished_organization)
    with _lock:  # a bulk dispatch uses threads
        if key in _counts:
            counted_at, before = _counts[key]
            _counts[key] = (counted_at, before + 1 + (row.batch_total or 0))


def _count(organization_id: str, quota: int) -> int:
    """Return the number of the organization's unfinished jobs, counted up to its quota."""
    return _cached(organization_id, count_unfinished, quota)


def _cached(key: str, count: Callable[[str, int], int], quota: int) -> int:
    """Return the count under a key of the index, which is read at most every 10 seconds."""
    now = clock.now()
    counted_at, number = _counts.get(key, (-_CACHED, 0))
    if 0 <= now - counted_at < _CACHED:
        return number
    if len(_counts) >= _MAX_CACHED:
        _counts.clear()
    number = 0
    with suppress(*AWS_ERRORS):  # accept the job if the jobs can't be counted
        number = count(key, quota)
    _counts[key] = (now, number)
    return number


def _count_batches(key: str, quota: int) -> int:
    """Return the number of unfinished batches and of their members that are not dispatched yet."""
    number = 0
    for row in counted_batches(key, quota):
        number += 0 if row.status.finished else 1 + _not_dispatched(row)
        if number >= quota:
            break
    return number


def _not_dispatched(batch: JobRequest) -> int:
    """Return how many members a batch will dispatch. A chunk counts until all of it is done."""
    if batch.awaits_group:
        return 0
    from job_runners.store import group_chunks  # imported here because few dispatches are batches

    done = (
        group_chunks.read_dispatched(batch.last_group_id).sizes.values()
        if batch.last_group_id
        else ()
    )
    return max(0, (batch.batch_total or 0) - sum(done))
