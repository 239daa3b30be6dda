"""Refuses new jobs of a queue in which too many wait, instead of a line without end.

How many wait is counted at most every 10 seconds in a process, and a job counts once it has been
parked. So more than `max_waiting` may come to wait: as many as are dispatched in those seconds. A
line is counted entry by entry, so one with a larger `max_waiting` is counted less often.
"""

from contextlib import suppress

import clock
from aws.errors import AWS_ERRORS
from errors import QueueFull
from store.limits import Limits
from store.line_entries import count_waiting

_CACHED = QueueFull.retry_after * clock.SECOND
_COUNTED = 10_000  # entries that a process counts in that time, at most
_MOST_CACHED = 1_000  # lines
_full: dict[tuple[str, str, int], tuple[int, bool]] = {}  # when it was counted, and whether full


def refuse_if_full(queue_name: str, key: str, limits: Limits) -> None:
    """Raise QueueFull if so many jobs wait in a line that no more are accepted."""
    if _is_full(queue_name, key, limits.max_waiting):
        raise QueueFull(queue_name, limits.max_waiting)


def forget_cache() -> None:
    """Count again at the next call: for tests."""
    _full.clear()


def _is_full(queue_name: str, key: str, most: int) -> bool:
    now = clock.now()
    counted_at, full = _full.get((queue_name, key, most), (-clock.DAY, False))
    if 0 <= now - counted_at < _CACHED * max(1, most // _COUNTED):
        return full
    if len(_full) >= _MOST_CACHED:
        _full.clear()
    full = False
    with suppress(*AWS_ERRORS):  # a line that can't be counted is not a reason to refuse a job
        full = count_waiting(queue_name, key, most) >= most
    _full[queue_name, key, most] = (now, full)
    return full
