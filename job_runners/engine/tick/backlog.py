"""Count the jobs that wait for a worker, from the rows that are due first.

No index has counts, and a counter would cost a write for each job. So this reads at most
MOST_SAMPLED keys of the due index and their rows, however many jobs wait: those that are due first,
some of all later times, so that an old backlog of one queue doesn't hide the other queues, and
those that have run for a while. A process keeps a sample for 10 seconds, whatever the number of
callers.

No index has the times of starts either. If jobs of one type wait, under a pause too, and none of
them runs, their last start is looked up among some jobs that were created just before them, or
since then.
"""

from collections.abc import Iterable, Iterator
from heapq import merge
from itertools import islice
from operator import attrgetter
from typing import NamedTuple

from job_runners import caches, clock
from job_runners.engine.tick import due_index
from job_runners.store import pauses, queries
from job_runners.store.job_request import JobRequest, Lane, Status, due_shards
from job_runners.values import Value

MOST_SAMPLED = 1000
_FIRST = 500  # of more rows, this many are those that are due first
_RUNNING = 200  # and at most this many are those that the timer has seen running
_SLICES = 8  # of the times after the first, each with the same number of rows
_PAGE = 125  # keys per query: an eighth of the sample, because a lane has eight shards
_LONGEST_LEASE = 16 * clock.MINUTE  # running jobs are due by then; later rows are scheduled
_CACHED = 10 * clock.SECOND
_PROMPT = clock.MINUTE  # that a worker may take to start a job
# Where a last start is looked for: for so many job types, among so many jobs created before the one
# that has waited longest, and among so many of the jobs created by each of some later times.
_TYPES, _BEFORE, _LATER, _TIMES = 4, 50, 25, 4


class Backlog(Value):
    """The sampled jobs of one type in one queue.

    `oldest_since` is when the job that has waited longest could have run, in milliseconds since
    1970. It is None if no sampled job waits. `last_started_at` is the latest start that was found.
    """

    queue_name: str
    job_type: str
    waiting: int = 0
    running: int = 0
    oldest_since: int | None = None
    oldest_id: str | None = None
    last_started_at: int | None = None


class Sample(Value):
    """The counted jobs. If it `is_full`, there may be more, and each number is a minimum."""

    counts: tuple[Backlog, ...]
    is_full: bool


class _Job(NamedTuple):
    """A job that runs, that has waited for a worker since `since`, or that has ended."""

    queue_name: str
    job_type: str
    organization_id: str
    is_running: bool
    since: int
    id: str
    created_at: int
    started_at: int | None

    @classmethod
    def of(cls, row: JobRequest) -> "_Job":
        key = row.queue_name, row.job_type, row.organization_id
        times = row.created_at, row.started_at
        return cls(*key, row.status is Status.RUNNING, row.could_run_at, row.id, *times)


class _Read(NamedTuple):
    """The sampled jobs, as read at one time, and the samples of organizations made from them."""

    at: int
    jobs: list[_Job]
    is_full: bool
    samples: dict[str | None, Sample]


_cached: list[_Read] = []
caches.register(_cached.clear)


def sample(organization_id: str | None) -> Sample:
    """Return the counts of one organization, or of all, by queue and then by job type.

    Jobs that a pause, a line or a wait holds, and jobs whose time hasn't come, aren't counted.
    """
    read = _read()
    if organization_id not in read.samples:
        own = _by_type(job for job in read.jobs if organization_id in (None, job.organization_id))
        held = (job for job in _first_held() if organization_id in (None, job.organization_id))
        others = _by_type(_near(_oldest([*_stuck(own), *held]), read.at))
        keys = sorted({*own, *others})
        counts = (_counted(key, own.get(key, []), others.get(key, [])) for key in keys)
        read.samples[organization_id] = Sample(tuple(counts), read.is_full)
    return read.samples[organization_id]


_Types = dict[tuple[str, str], list[_Job]]


def _by_type(jobs: Iterable[_Job]) -> _Types:
    found: _Types = {}
    for job in jobs:
        found.setdefault((job.queue_name, job.job_type), []).append(job)
    return found


def _counted(key: tuple[str, str], jobs: list[_Job], others: list[_Job]) -> Backlog:
    waiting = [(job.since, job.id) for job in jobs if not job.is_running]
    starts = [job.started_at for job in (*jobs, *others) if job.started_at is not None]
    since, oldest_id = min(waiting, default=(None, None))
    return Backlog(
        *key,
        waiting=len(waiting),
        running=len(jobs) - len(waiting),
        oldest_since=since,
        oldest_id=oldest_id,
        last_started_at=max(starts, default=None),
    )


def _stuck(types: _Types) -> list[_Job]:
    """Return the job that has waited longest of each type of which none runs."""
    waiting = (jobs for jobs in types.values() if not any(job.is_running for job in jobs))
    return [_oldest(jobs)[0] for jobs in waiting]


def _first_held() -> list[_Job]:
    """Return the first job that each pause holds."""
    paused = islice(pauses.current().paused(), _TYPES)
    first = (entry.job_id for pause in paused for entry in pauses.held_entries(pause, 1))
    return [_Job.of(row) for row in queries.read_many(first).values()]


def _oldest(jobs: list[_Job]) -> list[_Job]:
    return sorted(jobs, key=attrgetter("since"))


def _near(oldest: list[_Job], now: int) -> Iterator[_Job]:
    """Yield started jobs that were created before each of these, and at times since the first."""
    late = [job for job in oldest if now - job.since > _PROMPT]
    for job in late[:_TYPES]:
        yield from _created_before(job, job.created_at, _BEFORE)
    for job in late[:1]:
        for number in range(1, _TIMES + 1):
            until = job.created_at + (now - job.created_at) * number // _TIMES
            yield from _created_before(job, until, _LATER)


def _created_before(job: _Job, until: int, most: int) -> Iterator[_Job]:
    page = queries.page(job.organization_id, limit=most, until=until)
    return (_Job.of(row) for row in page.jobs if row.started_at is not None)


def _read() -> _Read:
    now = clock.now()
    for read in _cached:
        if 0 <= now - read.at < _CACHED:
            return read
    keys, is_full = _sampled_keys(now)
    rows = queries.read_many(keys).values()
    found = [_Job.of(row) for row in rows if row.status is Status.RUNNING or _could_run(row)]
    _cached[:] = [_Read(now, found, is_full, {})]
    return _cached[0]


def _sampled_keys(now: int) -> tuple[list[str], bool]:
    """Return the ids of the sampled rows, and whether there are more rows."""
    unclaimed = [*due_shards(Lane.QUEUED), *due_shards(Lane.RESENT)]
    prompt = due_shards(Lane.PROMPT)
    end, leased = due_index.END_OF_TIME, now + _LONGEST_LEASE
    by_time = merge(
        due_index.merged(unclaimed, end, _PAGE),
        due_index.merged(prompt, leased, _PAGE),
        key=lambda key: key.due_at or 0,
    )
    first = list(islice(by_time, MOST_SAMPLED + 1))
    if len(first) <= MOST_SAMPLED:
        return [key.id for key in first], False
    running = due_index.merged(prompt, leased, _RUNNING // len(prompt), after=now)
    leases = [key.id for key in islice(running, _RUNNING)]
    oldest = _FIRST + _RUNNING - len(leases)
    start = last = first[oldest].due_at or 0
    for key in islice(due_index.merged(unclaimed, end, 1, newest_first=True), 1):
        last = max(start, key.due_at or 0)
    sampled = dict.fromkeys([*leases, *(key.id for key in first[:oldest])])
    most = (MOST_SAMPLED - _FIRST - _RUNNING) // _SLICES
    for number in range(_SLICES):
        # One shard of each lane is enough: each has jobs of all queues.
        shards, after = unclaimed[number::_SLICES], start + number * (last - start) // _SLICES - 1
        later = due_index.merged(shards, end, most, after=after)
        if number == 0:  # a burst that came last may lie between the others
            later = due_index.merged(shards, now, most, newest_first=True)
        sampled |= dict.fromkeys(key.id for key in islice(later, most))
    return list(sampled), True


def _could_run(row: JobRequest) -> bool:
    return row.status is Status.QUEUED or (row.status.timed and row.starts_in == 0)
