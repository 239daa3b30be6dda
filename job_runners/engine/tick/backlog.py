"""Count the jobs that wait for a worker, from the rows that are due first.

No index has counts, and a counter would cost a write for each job. So this reads at most
MOST_SAMPLED keys of the due index and their rows, however many jobs wait: those that are due first,
and some of all later times, so that an old backlog of one queue doesn't hide the other queues. A
process keeps a sample for 10 seconds, whatever the number of callers.
"""

from heapq import merge
from itertools import groupby, islice
from typing import NamedTuple

from job_runners import caches, clock
from job_runners.engine.tick import due_index
from job_runners.store import queries
from job_runners.store.job_request import JobRequest, Lane, Status, due_shards
from job_runners.values import Value

MOST_SAMPLED = 1000
_FIRST = 600  # of more rows, this many are those that are due first
_SLICES = 8  # of the times after these, each with the same number of rows
_PAGE = 125  # keys per query: an eighth of the sample, because a lane has eight shards
_LONGEST_LEASE = 16 * clock.MINUTE  # running jobs are due by then; later rows are scheduled
_CACHED = 10 * clock.SECOND


class Backlog(Value):
    """The sampled jobs of one type in one queue.

    `oldest_since` is when the job that has waited longest could have run, in milliseconds since
    1970. It is None if no sampled job waits.
    """

    queue_name: str
    job_type: str
    waiting: int = 0
    running: int = 0
    oldest_since: int | None = None
    oldest_id: str | None = None


class Sample(Value):
    """The counted jobs. If it `is_full`, there may be more, and each number is a minimum."""

    counts: tuple[Backlog, ...]
    is_full: bool


class _Sampled(NamedTuple):
    """A job that runs, or that has waited for a worker since `since`."""

    queue_name: str
    job_type: str
    organization_id: str
    is_running: bool
    since: int
    id: str


# When the due rows were read, the jobs found, and whether there may be more.
_cached: list[tuple[int, list[_Sampled], bool]] = []
caches.register(_cached.clear)


def sample(organization_id: str | None) -> Sample:
    """Return the counts of one organization, or of all, by queue and then by job type.

    Jobs that a pause, a line or a wait holds, and jobs whose time hasn't come, aren't counted.
    """
    found, is_full = _sampled()
    own = sorted(job for job in found if organization_id in (None, job.organization_id))
    groups = groupby(own, lambda job: (job.queue_name, job.job_type))
    return Sample(tuple(_counted(*key, list(jobs)) for key, jobs in groups), is_full)


def _counted(queue_name: str, job_type: str, jobs: list[_Sampled]) -> Backlog:
    waiting = [(job.since, job.id) for job in jobs if not job.is_running]
    oldest = min(waiting, default=(None, None))
    return Backlog(queue_name, job_type, len(waiting), len(jobs) - len(waiting), *oldest)


def _sampled() -> tuple[list[_Sampled], bool]:
    now = clock.now()
    for read_at, found, is_full in _cached:
        if 0 <= now - read_at < _CACHED:
            return found, is_full
    keys, is_full = _sampled_keys(now)
    rows = queries.read_many(keys).values()
    found = [_of(row) for row in rows if row.status is Status.RUNNING or _could_run(row)]
    _cached[:] = [(now, found, is_full)]
    return found, is_full


def _sampled_keys(now: int) -> tuple[list[str], bool]:
    """Return the ids of the sampled rows, and whether there are more rows."""
    unclaimed = [*due_shards(Lane.QUEUED), *due_shards(Lane.RESENT)]
    end = due_index.END_OF_TIME
    by_time = merge(
        due_index.merged(unclaimed, end, _PAGE),
        due_index.merged(due_shards(Lane.PROMPT), now + _LONGEST_LEASE, _PAGE),
        key=lambda key: key.due_at or 0,
    )
    first = list(islice(by_time, MOST_SAMPLED + 1))
    if len(first) <= MOST_SAMPLED:
        return [key.id for key in first], False
    start = last = first[_FIRST].due_at or 0
    for key in islice(due_index.merged(unclaimed, end, 1, newest_first=True), 1):
        last = max(start, key.due_at or 0)
    sampled = dict.fromkeys(key.id for key in first[:_FIRST])
    most = (MOST_SAMPLED - _FIRST) // _SLICES
    for number in range(_SLICES):
        after = start + number * (last - start) // _SLICES - 1
        # One shard of each lane is enough: each has jobs of all queues.
        later = due_index.merged(unclaimed[number::_SLICES], end, most, after=after)
        sampled |= dict.fromkeys(key.id for key in islice(later, most))
    return list(sampled), True


def _of(row: JobRequest) -> _Sampled:
    is_running = row.status is Status.RUNNING
    key = row.queue_name, row.job_type, row.organization_id
    return _Sampled(*key, is_running, row.could_run_at, row.id)


def _could_run(row: JobRequest) -> bool:
    return row.status is Status.QUEUED or (row.status.timed and row.starts_in == 0)
