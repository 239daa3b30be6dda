"""Refuse new jobs of an organization that has reached its quota of unfinished jobs.

Unfinished jobs are counted in an index that DynamoDB updates with the rows, so the count can't
drift. A process reads the index at most every 10 seconds, and adds the jobs that it has accepted
since then. It misses the jobs that other processes accept in that time, so an organization may
exceed its quota a little.

A batch is refused if its members would exceed the quota. For that check, members of unfinished
batches count even before they are dispatched.
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

_CACHE_TIME = QuotaReached.retry_after * clock.SECOND
_MAX_CACHED = 1_000  # organizations
# For each key of the index `unfinished`: the time at which its jobs were counted, and their number,
# which includes the jobs that this process has accepted since then. A key stands for an
# organization or for its batches.
_counts: dict[str, tuple[int, int]] = {}
_NEVER_COUNTED = (-_CACHE_TIME, 0)  # so old that the jobs are counted again
caches.register(_counts.clear)
_lock = Lock()


def refuse_if_reached(organization_id: str, new_jobs: int = 1) -> None:
    """Raise QuotaReached if this many new jobs would exceed the organization's quota."""
    quota = settings().max_unfinished_jobs
    if quota and _count(organization_id, quota) + new_jobs > quota:
        raise QuotaReached(organization_id, quota, new_jobs)


def refuse_batch_if_reached(organization_id: str, total: int) -> None:
    """Raise QuotaReached if a batch of `total` members would exceed the organization's quota."""
    quota = settings().max_unfinished_jobs
    if not quota:
        return
    unfinished = _count(organization_id, quota)
    # With any `total`, `unfinished_key` returns the key of the organization's batches.
    unfinished += _cached_count(unfinished_key(organization_id, total), _count_batches, quota)
    new_jobs = total + 1  # the members and the batch's own job
    if unfinished + new_jobs > quota:
        raise QuotaReached(organization_id, quota, new_jobs)


def note_saved(row: JobRequest) -> None:
    """Add a job that this process has just saved to the cached count.

    A batch is added to the count of the organization's batches, together with all its members.
    """
    key = str(row.unfinished_organization)
    with _lock:  # a bulk dispatch uses threads
        if key in _counts:
            counted_at, before = _counts[key]
            _counts[key] = (counted_at, before + 1 + (row.batch_total or 0))


def _count(organization_id: str, quota: int) -> int:
    """Return the number of the organization's unfinished jobs, counted up to its quota."""
    return _cached_count(organization_id, count_unfinished, quota)


def _cached_count(key: str, count: Callable[[str, int], int], quota: int) -> int:
    """Return the count under a key of the index. Call `count` at most every 10 seconds."""
    now = clock.now()
    counted_at, cached_count = _counts.get(key, _NEVER_COUNTED)
    if 0 <= now - counted_at < _CACHE_TIME:
        return cached_count
    if len(_counts) >= _MAX_CACHED:
        _counts.clear()
    new_count = 0
    with suppress(*AWS_ERRORS):  # accept the job if the jobs can't be counted
        new_count = count(key, quota)
    _counts[key] = (now, new_count)
    return new_count


def _count_batches(key: str, quota: int) -> int:
    """Return the number of unfinished batches, plus their members that aren't dispatched yet."""
    total = 0
    for batch in counted_batches(key, quota):
        if not batch.status.finished:
            total += 1 + _count_undispatched(batch)
        if total >= quota:
            break
    return total


def _count_undispatched(batch: JobRequest) -> int:
    """Return how many members a batch has yet to dispatch.

    Members are dispatched in parts, called *chunks*. All members of a chunk count as undispatched
    until the last of them is dispatched.
    """
    if batch.awaits_group:  # a batch waits only once it has dispatched all members
        return 0
    from job_runners.store import group_chunks  # imported here because few dispatches are batches

    dispatched = 0
    if batch.last_group_id:
        dispatched = sum(group_chunks.read_dispatched(batch.last_group_id).sizes.values())
    return max(0, (batch.batch_total or 0) - dispatched)
