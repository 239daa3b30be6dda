"""Read the due rows from the index, in the order of their times."""

import heapq
from collections.abc import Collection, Iterator
from itertools import chain, islice, zip_longest

from job_runners import clock
from job_runners.engine.telemetry import telemetry
from job_runners.store import queries
from job_runners.store.job_request import JobRequest, Lane, due_shards

END_OF_TIME = 10**15  # later than every time in a sort key, which has 15 digits of milliseconds
_PAGE = 1000  # keys per query


def due_in(lane: Lane, until: int, most: int) -> list[JobRequest]:
    """Return the rows of a lane that are due by `until`, oldest first.

    If there are more than `most`, return that many of the oldest and of the newest, alternating. A
    row that has just become due then doesn't wait until a backlog is gone.
    """
    shards = due_shards(lane)
    oldest = list(islice(merged(shards, until), most))
    if len(oldest) < most:
        return oldest
    newest = islice(merged(shards, until, newest_first=True), most)
    both = chain.from_iterable(zip_longest(oldest, newest))
    return list({key.id: key for key in both if key is not None}.values())


def merged(
    shards: list[str],
    until: int,
    page: int = _PAGE,
    *,
    after: int = -1,
    newest_first: bool = False,
) -> Iterator[JobRequest]:
    """Yield the keys of all these shards in the order of their times, and read them as needed.

    A shard that can't be read doesn't delay the others. If none can be read, raise the first error.
    """
    failed: list[Exception] = []

    def read(shard: str) -> Iterator[JobRequest]:
        try:
            yield from queries.due(shard, until, page, after=after, newest_first=newest_first)
        except Exception as error:  # noqa: BLE001 - it may be throttled, and the others still answer
            telemetry.crashed(error)
            failed.append(error)

    each = [read(shard) for shard in shards]
    yield from heapq.merge(*each, key=lambda key: key.due_at or 0, reverse=newest_first)
    if len(failed) == len(shards):
        raise failed[0]


def count_unclaimed(most: int) -> int:
    """Count the rows that were sent again, are still unclaimed, and whose next check isn't due.

    Count at most `most` rows in each shard.
    """
    found = 0
    for shard in due_shards(Lane.RESENT):
        try:
            found += queries.count_due(shard, clock.now(), most)
        except Exception as error:  # noqa: BLE001 - perhaps too many are sent, but no row is lost
            telemetry.crashed(error)
    return found


def unclaimed(most: int) -> list[str]:
    """Return the ids of at most this many of the same rows."""
    rows = merged(due_shards(Lane.RESENT), END_OF_TIME, after=clock.now())
    return [row.id for row in islice(rows, most)]


def types_of(job_ids: Collection[str]) -> dict[str, str]:
    """Return the job types of rows by id, or none if they can't be read."""
    try:
        return queries.job_types(job_ids)
    except Exception as error:  # noqa: BLE001 - the rows stay due, and a later run reads them
        telemetry.crashed(error)
        return {}
