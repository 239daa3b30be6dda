"""Read the due rows from the due index, in the order of their due times.

A row's *due time* is when the timer must look at its job. The index has a *lane* for each kind of
event that rows wait for. Each lane is divided into several shards, because DynamoDB limits the
requests to a single partition. A *key* is an entry of the index. It has only the id and the due
time of its row.
"""

import heapq
from collections.abc import Collection, Iterator
from itertools import chain, islice, zip_longest

from job_runners import clock
from job_runners.engine.telemetry import telemetry
from job_runners.store import queries
from job_runners.store.job_request import JobRequest, Lane, due_shards

END_OF_TIME = 10**15  # later than any due time, because sort keys have 15 digits of milliseconds
_PAGE_SIZE = 1000  # keys per query


def due_in(lane: Lane, until: int, limit: int) -> list[JobRequest]:
    """Return the rows of a lane that are due by `until`, oldest first.

    If there are more than `limit`, return the `limit` oldest and the `limit` newest rows, one of
    each in turn. So a row that has just become due doesn't wait for all older rows.
    """
    shards = due_shards(lane)
    oldest = list(islice(merge_shards(shards, until), limit))
    if len(oldest) < limit:
        return oldest
    newest = islice(merge_shards(shards, until, newest_first=True), limit)
    alternating = chain.from_iterable(zip_longest(oldest, newest))
    # With fewer than twice `limit` rows, some are among the oldest and the newest.
    unique = {key.id: key for key in alternating if key is not None}
    return list(unique.values())


def merge_shards(
    shards: list[str],
    until: int,
    page_size: int = _PAGE_SIZE,
    *,
    after: int = -1,
    newest_first: bool = False,
) -> Iterator[JobRequest]:
    """Yield the keys of these shards that are due after `after` and by `until`, oldest first.

    Pages are read only as needed. A shard that can't be read doesn't delay the others. If none can
    be read, raise the first error.
    """
    errors: list[Exception] = []

    def read(shard: str) -> Iterator[JobRequest]:
        try:
            yield from queries.due(shard, until, page_size, after=after, newest_first=newest_first)
        except Exception as error:  # noqa: BLE001 - this shard may be throttled, others may not
            telemetry.crashed(error)
            errors.append(error)

    keys_by_shard = [read(shard) for shard in shards]
    yield from heapq.merge(*keys_by_shard, key=lambda key: key.due_at or 0, reverse=newest_first)
    if len(errors) == len(shards):
        raise errors[0]


def count_unclaimed(limit: int) -> int:
    """Count the unclaimed rows: the timer has sent them to workers, and no worker has started them.

    This leaves out rows that are due again, because the timer is about to send them again. It
    counts at most `limit` rows in each shard.
    """
    count = 0
    for shard in due_shards(Lane.RESENT):
        try:
            count += queries.count_due(shard, clock.now(), limit)
        except Exception as error:  # noqa: BLE001 - the run may send too many, but loses no row
            telemetry.crashed(error)
    return count


def unclaimed_ids(limit: int) -> list[str]:
    """Return the ids of the rows that `count_unclaimed` counts, at most `limit` of them."""
    rows = merge_shards(due_shards(Lane.RESENT), END_OF_TIME, after=clock.now())
    return [row.id for row in islice(rows, limit)]


def types_of(job_ids: Collection[str]) -> dict[str, str]:
    """Return the job types of rows by id. If the rows can't be read, return an empty dict."""
    try:
        return queries.job_types(job_ids)
    except Exception as error:  # noqa: BLE001 - the rows stay due, and a later run reads them
        telemetry.crashed(error)
        return {}
