"""Refuse new jobs of a queue in which too many jobs wait, so that no line grows without limit.

A *line* consists of the jobs that wait in one queue under one key. For each of these jobs, the
table has an *entry*. A process counts a line at most every 10 seconds, so jobs that are dispatched
between two counts may exceed `max_waiting`. Counting reads every entry of the line, so a line with
a large `max_waiting` is counted less often.
"""

from contextlib import suppress

from job_runners import caches, clock
from job_runners.aws.errors import AWS_ERRORS
from job_runners.errors import QueueFull
from job_runners.store.limits import Limits
from job_runners.store.lines import count_waiting

_CACHE_TIME = QueueFull.retry_after * clock.SECOND
# A process reads about this many entries of a line per _CACHE_TIME.
_ENTRIES_PER_CACHE_TIME = 10_000
_MAX_CACHED = 1_000  # lines
# For each queue, key and max_waiting: the time at which the line was counted, and the number of
# jobs that waited in it then.
_counts: dict[tuple[str, str, int], tuple[int, int]] = {}
_NEVER_COUNTED = (-clock.DAY, 0)  # so old that the line is counted again
caches.register(_counts.clear)


def refuse_if_full(queue_name: str, key: str, limits: Limits, new_jobs: int = 1) -> None:
    """Raise QueueFull if this many new jobs would exceed the `max_waiting` of the line."""
    if _count(queue_name, key, limits.max_waiting) + new_jobs > limits.max_waiting:
        raise QueueFull(queue_name, limits.max_waiting, new_jobs)


def _count(queue_name: str, key: str, max_waiting: int) -> int:
    """Return the number of jobs that wait in a line, counted up to `max_waiting`."""
    now = clock.now()
    counted_at, waiting = _counts.get((queue_name, key, max_waiting), _NEVER_COUNTED)
    # The time grows with the number of entries that a count may have to read.
    cache_time = _CACHE_TIME * max(1, max_waiting // _ENTRIES_PER_CACHE_TIME)
    if 0 <= now - counted_at < cache_time:
        return waiting
    if len(_counts) >= _MAX_CACHED:
        _counts.clear()
    waiting = 0
    with suppress(*AWS_ERRORS):  # accept the job if the line can't be counted
        waiting = count_waiting(queue_name, key, max_waiting)
    _counts[queue_name, key, max_waiting] = (now, waiting)
    return waiting
