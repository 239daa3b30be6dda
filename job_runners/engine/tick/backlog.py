"""Estimate how many jobs wait for a worker, from a sample of the rows in the due index.

No index has counts, and a counter would cost a write for each job. So this reads at most
MAX_SAMPLED rows: those that are due first, some from later times, so that an old backlog of one
queue doesn't hide the other queues, and some that have run for a while. A process keeps a sample
for 10 seconds.

No index has the times of starts either. If jobs of one type wait, perhaps under a pause, and none
of them runs, the last start is looked for among a few jobs that were created just before them, or
later.
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

MAX_SAMPLED = 1000
# If there are more rows, the sample consists of this many that are due first, this many that the
# timer has seen running, and the same number of rows from each of several slices of later times.
_MAX_FIRST = 500
_MAX_RUNNING = 200
_SLICES = 8
_PAGE_SIZE = 125  # keys per query: an eighth of the sample, because a lane has eight shards
_MAX_LEASE = 16 * clock.MINUTE  # the lease of a running job ends by then; later rows are scheduled
_CACHE_TIME = 10 * clock.SECOND
_START_TIME = clock.MINUTE  # how long it may normally take until a worker starts a job
# Last starts are looked for if jobs of a type have waited for longer, for up to this many types.
_MAX_TYPES = 4
_JOBS_BEFORE = 50  # of those created before the job that has waited longest
_LATER_TIMES = 4  # at which later jobs are looked for
_JOBS_PER_TIME = 25  # of those created before each of these times


class Backlog(Value):
    """The sampled jobs of one type in one queue. Times are in milliseconds since 1970.

    `oldest_since` is when the job that has waited longest could have run, or None if no sampled job
    waits. `last_started_at` is the latest start that was found.
    """

    queue_name: str
    job_type: str
    waiting: int = 0
    running: int = 0
    oldest_since: int | None = None
    oldest_id: str | None = None
    last_started_at: int | None = None


class Sample(Value):
    """The counted jobs. If `is_full`, there may be more jobs, and each number is a minimum."""

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
        return cls(
            row.queue_name,
            row.job_type,
            row.organization_id,
            is_running=row.status is Status.RUNNING,
            since=row.could_run_at,
            id=row.id,
            created_at=row.created_at,
            started_at=row.started_at,
        )


class _SampledJobs(NamedTuple):
    """The sampled jobs of all organizations, and the samples that were made from them."""

    read_at: int
    jobs: list[_Job]
    is_full: bool
    samples: dict[str | None, Sample]  # by organization


_cached: list[_SampledJobs] = []
caches.register(_cached.clear)


def sample(organization_id: str | None) -> Sample:
    """Return the counts of one organization, or of all, by queue and then by job type.

    Jobs that a pause, a line or a wait holds, and jobs whose time hasn't come, aren't counted.
    """
    sampled = _read_sampled()
    if organization_id not in sampled.samples:
        jobs = _by_type(_of_organization(organization_id, sampled.jobs))
        held_jobs = _of_organization(organization_id, _first_held())
        late_jobs = _oldest_first([*_first_of_stuck_types(jobs), *held_jobs])
        started_jobs = _by_type(_find_started(late_jobs, sampled.read_at))
        counts = [
            _count(key, jobs.get(key, []), started_jobs.get(key, []))
            for key in sorted({*jobs, *started_jobs})
        ]
        sampled.samples[organization_id] = Sample(tuple(counts), sampled.is_full)
    return sampled.samples[organization_id]


def _of_organization(organization_id: str | None, jobs: list[_Job]) -> list[_Job]:
    return [job for job in jobs if organization_id in (None, job.organization_id)]


_JobsByType = dict[tuple[str, str], list[_Job]]  # the keys are a queue and a job type


def _by_type(jobs: Iterable[_Job]) -> _JobsByType:
    grouped: _JobsByType = {}
    for job in jobs:
        grouped.setdefault((job.queue_name, job.job_type), []).append(job)
    return grouped


def _count(key: tuple[str, str], jobs: list[_Job], started_jobs: list[_Job]) -> Backlog:
    """Return the counts of sampled jobs. `started_jobs` only contribute their start times."""
    queue_name, job_type = key
    waiting = [(job.since, job.id) for job in jobs if not job.is_running]
    starts = [job.started_at for job in (*jobs, *started_jobs) if job.started_at is not None]
    oldest_since, oldest_id = min(waiting, default=(None, None))
    return Backlog(
        queue_name,
        job_type,
        waiting=len(waiting),
        running=len(jobs) - len(waiting),
        oldest_since=oldest_since,
        oldest_id=oldest_id,
        last_started_at=max(starts, default=None),
    )


def _first_of_stuck_types(types: _JobsByType) -> list[_Job]:
    """Return the job that has waited longest of each type of which no job runs."""
    stuck = (jobs for jobs in types.values() if not any(job.is_running for job in jobs))
    return [_oldest_first(jobs)[0] for jobs in stuck]


def _first_held() -> list[_Job]:
    """Return the first job that each pause holds."""
    paused = islice(pauses.current().paused(), _MAX_TYPES)
    job_ids = (entry.job_id for pause in paused for entry in pauses.held_entries(pause, 1))
    return [_Job.of(row) for row in queries.read_many(job_ids).values()]


def _oldest_first(jobs: list[_Job]) -> list[_Job]:
    return sorted(jobs, key=attrgetter("since"))


def _find_started(waiting_jobs: list[_Job], now: int) -> Iterator[_Job]:
    """Yield started jobs that were created before each waiting job, or since the first of them."""
    late_jobs = [job for job in waiting_jobs if now - job.since > _START_TIME]
    for job in late_jobs[:_MAX_TYPES]:
        yield from _created_before(job, job.created_at, _JOBS_BEFORE)
    for job in late_jobs[:1]:
        for number in range(1, _LATER_TIMES + 1):
            until = job.created_at + (now - job.created_at) * number // _LATER_TIMES
            yield from _created_before(job, until, _JOBS_PER_TIME)


def _created_before(job: _Job, until: int, limit: int) -> Iterator[_Job]:
    """Return the started ones of the jobs in this job's organization that were created last."""
    page = queries.page(job.organization_id, limit=limit, until=until)
    return (_Job.of(row) for row in page.jobs if row.started_at is not None)


def _read_sampled() -> _SampledJobs:
    now = clock.now()
    for sampled in _cached:
        if 0 <= now - sampled.read_at < _CACHE_TIME:
            return sampled
    keys, is_full = _sample_keys(now)
    rows = queries.read_many(keys).values()
    jobs = [_Job.of(row) for row in rows if row.status is Status.RUNNING or _could_run(row)]
    _cached[:] = [_SampledJobs(now, jobs, is_full, {})]
    return _cached[0]


def _sample_keys(now: int) -> tuple[list[str], bool]:
    """Return the ids of the sampled rows, and whether there are more rows."""
    unclaimed = [*due_shards(Lane.QUEUED), *due_shards(Lane.RESENT)]
    prompt = due_shards(Lane.PROMPT)
    end, last_lease_end = due_index.END_OF_TIME, now + _MAX_LEASE
    by_time = merge(
        due_index.merge_shards(unclaimed, end, _PAGE_SIZE),
        due_index.merge_shards(prompt, last_lease_end, _PAGE_SIZE),
        key=lambda key: key.due_at or 0,
    )
    first = list(islice(by_time, MAX_SAMPLED + 1))
    if len(first) <= MAX_SAMPLED:
        return [key.id for key in first], False
    running = due_index.merge_shards(prompt, last_lease_end, _MAX_RUNNING // len(prompt), after=now)
    running_ids = [key.id for key in islice(running, _MAX_RUNNING)]
    first_count = _MAX_FIRST + _MAX_RUNNING - len(running_ids)
    start = last = first[first_count].due_at or 0
    for key in islice(due_index.merge_shards(unclaimed, end, 1, newest_first=True), 1):
        last = max(start, key.due_at or 0)
    sampled_ids = dict.fromkeys([*running_ids, *(key.id for key in first[:first_count])])
    slice_size = (MAX_SAMPLED - _MAX_FIRST - _MAX_RUNNING) // _SLICES
    for number in range(_SLICES):
        # One shard of each lane is enough, because each has jobs of all queues.
        shards = unclaimed[number::_SLICES]
        after = start + number * (last - start) // _SLICES - 1
        keys = due_index.merge_shards(shards, end, slice_size, after=after)
        if number == 0:  # otherwise the sample could lack a burst of jobs that have just become due
            keys = due_index.merge_shards(shards, now, slice_size, newest_first=True)
        sampled_ids |= dict.fromkeys(key.id for key in islice(keys, slice_size))
    return list(sampled_ids), True


def _could_run(row: JobRequest) -> bool:
    return row.status is Status.QUEUED or (row.status.timed and row.starts_in == 0)
