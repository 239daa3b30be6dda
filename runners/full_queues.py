"""Refuse new jobs of a queue in which too many jobs wait, so that no line grows without limit.

A process counts a line at most every 10 seconds, and a job counts once it is parked. So more than
`max_waiting` jobs may wait: the excess is the number dispatched in those seconds. Counting reads
every entry of the line, so a line with a larger `max_waiting` is counted less often.
"""

from contextlib import suppress

import clock
from aws.errors import AWS_ERRORS
from errors import QueueFull
from store.limits import Limits
from store.line_entries import count_waiting

_CACHED = QueueFull.retry_after * clock.SECOND
_COUNTED = 10_000  # the most entries that a process counts in that time
_MOST_CACHED = 1_000  # lines
_full: dict[tuple[str, str, int], tuple[int, bool]] = {}  # when it was counted, and if it was full


def refuse_if_full(queue_name: str, key: str, limits: Limits) -> None:
    """Raise QueueFull if the line has reached its `max_waiting`."""
    if _is_full(queue_name, key, limits.max_waiting):
        raise QueueFull(queue_name, limits.max_waiting)


def forget_cache() -> None:
    """Count again at the next call. For tests."""
    _full.clear()


def _is_full(queue_name: str, key: str, most: int) -> bool:
    now = clock.now()
    counted_at, full = _full.get((queue_name, key, most), (-clock.DAY, False))
    if 0 <= now - counted_at < _CACHED * max(1, most // _COUNTED):
        return full
    if len(_full) >= _MOST_CACHED:
        _full.clear()
    full = False
    with suppress(*AWS_ERRORS):  # accept the job if the line can't be counted
        full = count_waiting(queue_name, key, most) >= most
    _full[queue_name, key, most] = (now, full)
    return full
