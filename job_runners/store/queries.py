"""Read rows of jobs: by id, as a page of an organization's jobs, or those that are due."""

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

from job_runners.errors import InvalidCursor
from job_runners.store import cursors
from job_runners.store.job_request import SORT_KEY_PATTERN, JobRequest, Status, job_id_of, sort_key

MAX_EXAMINED = 200  # the maximum number of rows that are read for one page
PAGE_LIMIT = 100  # the maximum number of rows that BatchGetItem can read
_END_OF_TIME = 10**15 - 1  # the last time that fits into a sort key


def read(job_id: str) -> JobRequest | None:
    """Read a row consistently. Return None if it is gone or past its TTL."""
    row = JobRequest.find(job_id)
    return None if row is None or row.past_ttl else row


def unfinished(job_ids: list[str]) -> set[str]:
    """Return the ids of those jobs that haven't ended. The reads are consistent."""
    rows = JobRequest.batch_get(job_ids, consistent_read=True)
    return {row.id for row in rows if not row.status.finished}


def job_types(job_ids: Iterable[str]) -> dict[str, str]:
    """Return the job types of jobs, keyed by job id. The reads aren't consistent."""
    rows = JobRequest.batch_get(job_ids, attributes_to_get=["id", "job_type"])
    return {row.id: row.job_type for row in rows}


def read_many(job_ids: Iterable[str], *, fresh: bool = False) -> dict[str, JobRequest]:
    """Return rows, keyed by job id. Rows that don't exist or are past their TTL are left out.

    Pass `fresh=True` for consistent reads.
    """
    rows = JobRequest.batch_get(job_ids, consistent_read=fresh)
    return {row.id: row for row in rows if not row.past_ttl}


class Page(NamedTuple):
    """Some of an organization's jobs, newest first."""

    jobs: list[JobRequest]
    cursor: str | None  # the cursor of the next page, if there is one


def page(
    organization_id: str,
    *,
    limit: int,
    cursor: str | None = None,
    status: Status | None = None,
    since: int = 0,
    until: int | None = None,
    matches: Callable[[JobRequest], bool] = lambda row: True,
) -> Page:
    """Return a page of an organization's jobs, newest first.

    The jobs were created at or after `since` and before `until`, in milliseconds since 1970. If
    `status` is FAILED, they failed in that time, and the most recent failure comes first.

    A page without a filter costs one Query and one BatchGetItem, however many jobs there are. For a
    page with a filter, at most MAX_EXAMINED rows are read. It can be short or even empty, and still
    have a cursor. Raises InvalidCursor.
    """
    index = _FAILED if status is Status.FAILED else _CREATED
    oldest = sort_key(since, "")
    newest = sort_key(_END_OF_TIME if until is None else until, "")
    position = index.decode_cursor(cursor) if cursor else None
    jobs: list[JobRequest] = []
    examined = 0
    batch_size = min(limit, PAGE_LIMIT, MAX_EXAMINED)  # enough without a filter
    while True:
        keys, has_more = index.keys(organization_id, oldest, newest, position, batch_size)
        rows = read_many([job_id_of(key) for key in keys])
        for key in keys:
            row = rows.get(job_id_of(key))
            if row is None or status not in (None, row.status) or not matches(row):
                continue
            jobs.append(row)
            if len(jobs) == limit and (has_more or key != keys[-1]):
                return Page(jobs, index.encode_cursor(key))
        if not has_more:
            return Page(jobs, None)
        position = keys[-1]
        examined += len(keys)
        if examined >= MAX_EXAMINED:
            return Page(jobs, index.encode_cursor(position))
        batch_size = min(PAGE_LIMIT, MAX_EXAMINED - examined)


def due(
    shard: str, until: int, page_size: int, *, after: int = -1, newest_first: bool = False
) -> Iterator[JobRequest]:
    """Yield the rows of a shard that are due later than `after` and by `until`.

    The rows have only an `id` and a `due_at`. The row that has been due longest comes first, or
    last if `newest_first`. This reads `page_size` rows at a time, when the caller needs them.
    """
    return iter(
        JobRequest.due.query(
            shard,
            JobRequest.due_at.between(after + 1, until),
            page_size=page_size,
            scan_index_forward=not newest_first,
        )
    )


def count_due(shard: str, after: int, limit: int) -> int:
    """Count the rows of a shard that are due later than `after`, up to `limit`."""
    index_name = JobRequest.due.Meta.index_name
    return JobRequest.count_up_to(limit, shard, JobRequest.due_at > after, index_name=index_name)


def count_unfinished(organization_id: str, limit: int) -> int:
    """Count the unfinished jobs of an organization, up to `limit`. Batches aren't counted.

    The read isn't consistent, so the latest changes may be missing. It costs half a read unit for
    about 30 jobs.
    """
    index_name = JobRequest.unfinished.Meta.index_name
    return JobRequest.count_up_to(limit, organization_id, None, index_name=index_name)


def counted_batches(key: str, limit: int) -> Iterator[JobRequest]:
    """Yield up to `limit` unfinished batches of an organization, oldest first.

    `key` is their hash key in the index `unfinished`. The reads aren't consistent.
    """
    batch_ids = (row.id for row in JobRequest.unfinished.query(key, limit=limit))
    while ids := list(islice(batch_ids, PAGE_LIMIT)):
        yield from JobRequest.batch_get(ids)


class _Index(NamedTuple):
    """An index of an organization's jobs by time. Its range key is a `sort_key`: time and id."""

    cursor_prefix: str
    index: Any
    hash_name: str
    range_name: str

    def keys(
        self, organization_id: str, oldest: str, newest: str, position: str | None, limit: int
    ) -> tuple[list[str], bool]:
        """Return up to `limit` sort keys, newest first, and whether there are more.

        The keys are between `oldest` and `newest`. If `position` isn't None, they follow that key.
        """
        start = None
        if position:
            start = {
                self.hash_name: {"S": organization_id},
                self.range_name: {"S": position},
                "id": {"S": job_id_of(position)},
            }
        rows = self.index.query(
            organization_id,
            getattr(JobRequest, self.range_name).between(oldest, newest),
            scan_index_forward=False,
            limit=limit + 1,
            last_evaluated_key=start,
        )
        keys = [getattr(row, self.range_name) for row in islice(rows, limit + 1)]
        return keys[:limit], len(keys) > limit

    def encode_cursor(self, position: str) -> str:
        return cursors.encode(self.cursor_prefix, position)

    def decode_cursor(self, cursor: str) -> str:
        position = cursors.decode(self.cursor_prefix, cursor)
        if not re.fullmatch(SORT_KEY_PATTERN, position):
            raise InvalidCursor
        return position


_CREATED = _Index("c", JobRequest.by_organization, "organization_id", "created_key")
_FAILED = _Index("f", JobRequest.failed, "failed_organization", "failed_key")
