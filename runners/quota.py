"""Refuses new jobs of an organisation that has too many unfinished ones, where there is a quota.

They are counted in an index, which DynamoDB keeps with the rows: no write of ours can lose count of
one. A process counts them at most every 10 seconds, and adds what it has accepted since. So more
may come to be unfinished: as many as other processes accept in those seconds.

Code from before there were quotas, which still serves for a while during a deploy or is there again
after a rollback, cancels and expires such a job without taking it out of the index. So whoever
finds an organisation at its quota looks through the index for finished rows, some at each count.
"""

from contextlib import suppress

import clock
from aws.errors import AWS_ERRORS
from errors import PreconditionFailed, QuotaReached
from settings import settings
from store import verbs
from store.queries import PAGE_LIMIT, count_unfinished, counted_rows

_CACHED = QuotaReached.retry_after * clock.SECOND
_MOST_CACHED = 1_000  # organisations
_counts: dict[str, tuple[int, int]] = {}  # when they were counted, and how many that makes now
_checked: dict[str, str | None] = {}  # the sort key up to which the index was looked through


def is_on() -> bool:
    """Return whether there is a quota."""
    return settings().max_unfinished_jobs > 0


def refuse_if_reached(organization_id: str) -> None:
    """Raise QuotaReached if the organisation may have no more unfinished jobs."""
    most = settings().max_unfinished_jobs
    if most and _count(organization_id, most) >= most:
        raise QuotaReached(organization_id, most)


def note_accepted(organization_id: str) -> None:
    """Count a job that was accepted here."""
    if organization_id in _counts:
        counted_at, number = _counts[organization_id]
        _counts[organization_id] = (counted_at, number + 1)


def forget_cache() -> None:
    """Count again at the next call: for tests."""
    _counts.clear()
    _checked.clear()


def _count(organization_id: str, most: int) -> int:
    now = clock.now()
    counted_at, number = _counts.get(organization_id, (-_CACHED, 0))
    if 0 <= now - counted_at < _CACHED:
        return number
    if len(_counts) >= _MOST_CACHED:
        _counts.clear()
        _checked.clear()
    number = 0
    with suppress(*AWS_ERRORS):  # what can't be counted is not a reason to refuse a job
        number = count_unfinished(organization_id, most)
        if number >= most:
            _uncount_finished(organization_id)
    _counts[organization_id] = (now, number)
    return number


def _uncount_finished(organization_id: str) -> None:
    """Take finished jobs out of the next part of the index: the next count is without them."""
    rows = counted_rows(organization_id, _checked.get(organization_id))
    for row in (row for row in rows if row.status.finished):
        with suppress(PreconditionFailed):  # it was queued anew
            verbs.uncount(row)
    at_end = len(rows) < PAGE_LIMIT
    _checked[organization_id] = None if at_end else rows[-1].created_key
