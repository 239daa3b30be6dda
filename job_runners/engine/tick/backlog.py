"""Estimate how many jobs wait for a worker, from a sample of the rows in the due index.

The due index sorts the rows of jobs by their *due time*, at which the timer must look at the job.
It has no counts, and a counter would cost a write for each job. So this reads a sample of at most
MAX_SAMPLED rows: the rows that are due first, some rows of running jobs, and some rows that are due
later. Without the later rows, many old jobs of one queue would hide the other queues. A process
keeps a sample for 10 seconds.

No index has the times at which jobs started. A job type is *stuck* if some of its jobs wait and
none runs. For a stuck type, this looks for the last start among a few other jobs: jobs that were
created just before the longest-waiting job, and some that were created after it.
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
# If there are more rows than MAX_SAMPLED, the sample has three parts: rows that are due first, rows
# that the timer has seen running, and rows from several places among the later due times.
_MAX_FIRST = 500
_MAX_RUNNING = 200
_GAPS = 8  # how many gaps between rows that were read get two places of their own
_PER_PLACE = (MAX_SAMPLED - _MAX_FIRST - _MAX_RUNNING) // (2 * _GAPS + 2)  # rows
_PAGE_SIZE = 125  # keys per query: an eighth of the sample, because a lane has eight shards
# A running job is due when its lease (its time to run) ends, which is within _MAX_LEASE. So rows of
# the lane PROMPT that are due later belong to scheduled jobs.
_MAX_LEASE = 16 * clock.MINUTE
_CACHE_TIME = 10 * clock.SECOND
_NORMAL_START_DELAY = clock.MINUTE  # a job that has waited for longer is *late*
_MAX_LATE_JOBS = 4  # late jobs for which to look for a last start
_MAX_PAUSES = 4  # pauses whose first held job counts as waiting when looking for a last start
_JOBS_BEFORE = 50  # how many jobs to read that were created before each late job
# The time since the first late job was created is divided into this many parts. At the end of each
# part, read this many of the jobs that were created before.
_LATER_TIMES = 4
_JOBS_PER_TIME = 25


class Backlog(Value):
    """The counts of the sampled jobs of one type in one queue. Times are in ms since 1970."""

    queue_name: str
    job_type: str
    waiting: int = 0
    running: int = 0
    # When the longest-waiting job became ready to start, and its id. None if no sampled job waits.
    oldest_since: int | None = None
    oldest_id: str | None = None
    last_started_at: int | None = None  # the latest start that was found


class Sample(Value):
    """The counts of the sampled jobs. If `is_full`, there are more jobs than counted."""

    counts: tuple[Backlog, ...]
    is_full: bool


class _SampledJobs(NamedTuple):
    """The sampled jobs of all organizations, and each organization's counts of them."""

    read_at: int
    jobs: list[JobRequest]  # only those that run or wait for a worker
    is_full: bool
    samples: dict[str | None, Sample]  # by organization; None for all organizations together


_cache: list[_SampledJobs] = []  # empty, or the latest sampled jobs
caches.register(_cache.clear)


def sample(organization_id: str | None) -> Sample:
    """Return the counts of an organization's jobs, sorted by queue and job type.

    If `organization_id` is None, count the jobs of all organizations. Only jobs that run or wait
    for a worker count, not jobs that wait for something else, such as a time, a signal or a slot.
    """
    sampled = _read_sampled()
    if organization_id not in sampled.samples:
        sampled.samples[organization_id] = _count_sampled(organization_id, sampled)
    return sampled.samples[organization_id]


def _count_sampled(organization_id: str | None, sampled: _SampledJobs) -> Sample:
    """Count the sampled jobs of an organization, and look for the last starts of stuck types."""
    jobs = _by_type(_of_organization(organization_id, sampled.jobs))
    held_jobs = _of_organization(organization_id, _first_held())
    waiting_jobs = _longest_wait_first([*_first_of_stuck_types(jobs), *held_jobs])
    started_jobs = _by_type(_find_started(waiting_jobs, sampled.read_at))
    counts = [
        _count(key, jobs.get(key, []), started_jobs.get(key, []))
        for key in sorted({*jobs, *started_jobs})
    ]
    return Sample(tuple(counts), sampled.is_full)


def _of_organization(organization_id: str | None, jobs: list[JobRequest]) -> list[JobRequest]:
    if organization_id is None:
        return jobs
    return [job for job in jobs if job.organization_id == organization_id]


_JobsByType = dict[tuple[str, str], list[JobRequest]]  # the keys are a queue and a job type


def _by_type(jobs: Iterable[JobRequest]) -> _JobsByType:
    grouped: _JobsByType = {}
    for job in jobs:
        grouped.setdefault((job.queue_name, job.job_type), []).append(job)
    return grouped


def _count(key: tuple[str, str], jobs: list[JobRequest], started_jobs: list[JobRequest]) -> Backlog:
    """Return the counts of sampled jobs. `started_jobs` only contribute their start times."""
    queue_name, job_type = key
    waiting = [(job.could_run_at, job.id) for job in jobs if not _is_running(job)]
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


def _first_of_stuck_types(jobs_by_type: _JobsByType) -> list[JobRequest]:
    """Return the longest-waiting job of each type that has no running job."""
    stuck = (jobs for jobs in jobs_by_type.values() if not any(map(_is_running, jobs)))
    return [_longest_wait_first(jobs)[0] for jobs in stuck]


def _first_held() -> list[JobRequest]:
    """Return the first job that each pause holds."""
    paused = islice(pauses.current().paused(), _MAX_PAUSES)
    job_ids = (entry.job_id for pause in paused for entry in pauses.held_entries(pause, 1))
    return list(queries.read_many(job_ids).values())


def _longest_wait_first(jobs: list[JobRequest]) -> list[JobRequest]:
    return sorted(jobs, key=attrgetter("could_run_at"))


def _find_started(waiting_jobs: list[JobRequest], now: int) -> Iterator[JobRequest]:
    """Yield started jobs that were created just before a late job, or after the first late job.

    `waiting_jobs` begins with the job that has waited longest.
    """
    late_jobs = [job for job in waiting_jobs if now - job.could_run_at > _NORMAL_START_DELAY]
    for job in late_jobs[:_MAX_LATE_JOBS]:
        yield from _started_before(job.created_at, job.organization_id, _JOBS_BEFORE)
    if late_jobs:
        first = late_jobs[0]
        age = now - first.created_at
        for part in range(1, _LATER_TIMES + 1):
            until = first.created_at + age * part // _LATER_TIMES
            yield from _started_before(until, first.organization_id, _JOBS_PER_TIME)


def _started_before(until: int, organization_id: str, limit: int) -> Iterator[JobRequest]:
    """Return the started jobs among the last `limit` jobs that were created by `until`."""
    page = queries.page(organization_id, limit=limit, until=until)
    return (row for row in page.jobs if row.started_at is not None)


def _read_sampled() -> _SampledJobs:
    now = clock.now()
    for cached in _cache:
        if 0 <= now - cached.read_at < _CACHE_TIME:
            return cached
    ids, is_full = _sampled_ids(now)
    rows = queries.read_many(ids).values()
    jobs = [row for row in rows if _is_running(row) or _could_run(row)]
    sampled = _SampledJobs(now, jobs, is_full, samples={})
    _cache[:] = [sampled]
    return sampled


def _sampled_ids(now: int) -> tuple[list[str], bool]:
    """Return the ids of the sampled rows, and whether there are more rows."""
    unclaimed = [*due_shards(Lane.QUEUED), *due_shards(Lane.RESENT)]
    prompt = due_shards(Lane.PROMPT)
    last_lease_end = now + _MAX_LEASE
    by_due_time = merge(
        due_index.merge_shards(unclaimed, due_index.END_OF_TIME, _PAGE_SIZE),
        due_index.merge_shards(prompt, last_lease_end, _PAGE_SIZE),
        key=lambda row: row.due_at or 0,
    )
    first = list(islice(by_due_time, MAX_SAMPLED + 1))
    if len(first) <= MAX_SAMPLED:
        return [row.id for row in first], False
    # There are too many rows, so the sample has three parts.
    running = due_index.merge_shards(prompt, last_lease_end, _MAX_RUNNING // len(prompt), after=now)
    running_ids = [row.id for row in islice(running, _MAX_RUNNING)]
    first_count = _MAX_FIRST + _MAX_RUNNING - len(running_ids)
    first_ids = [row.id for row in first[:first_count]]
    later_ids = _later_ids(start=first[first_count].due_at or 0, now=now)
    return list(dict.fromkeys([*running_ids, *first_ids, *later_ids])), True


def _later_ids(start: int, now: int) -> Iterator[str]:
    """Yield ids of rows that are due at `start` or later, from several places.

    The due times of such rows come in clusters: a job that the timer has deferred is due at its
    start deadline, which is a day after its dispatch unless its definition sets `start_within`.
    Places at equal distances could all meet the first rows of one cluster. So each place depends on
    the rows that were read before: it is the middle of the widest gap between them.
    """
    queued, resent = due_shards(Lane.QUEUED), due_shards(Lane.RESENT)
    # The rows that have just become due: without them, the sample could lack a burst of new jobs.
    yield from _ids(_read_place([queued[0], resent[0]], now, newest_first=True))
    newest = _read_place([*queued, *resent], due_index.END_OF_TIME, newest_first=True)
    yield from _ids(newest)
    gaps = [(start, _last_due(newest, start))]
    for index in range(_GAPS):
        gap = max(gaps, key=lambda gap: gap[1] - gap[0])
        if gap[1] - gap[0] < 2:  # too narrow for rows between two places
            return
        gaps.remove(gap)
        middle = sum(gap) // 2
        # Each shard has jobs of all queues, so one is enough. Later rows of the lane RESENT are
        # few, and soon among the first ones.
        shard = [queued[index % len(queued)]]
        before = _read_place(shard, middle, after=gap[0], newest_first=True)
        after = _read_place(shard, gap[1], after=middle)
        yield from _ids([*before, *after])
        gaps += [(gap[0], _last_due(before, gap[0])), (_last_due(after, gap[1]), gap[1])]


def _read_place(
    shards: list[str], until: int, *, after: int = -1, newest_first: bool = False
) -> list[JobRequest]:
    keys = due_index.merge_shards(shards, until, _PER_PLACE, after=after, newest_first=newest_first)
    return list(islice(keys, _PER_PLACE))


def _ids(rows: list[JobRequest]) -> list[str]:
    return [row.id for row in rows]


def _last_due(rows: list[JobRequest], otherwise: int) -> int:
    return (rows[-1].due_at or 0) if rows else otherwise


def _is_running(row: JobRequest) -> bool:
    return row.status is Status.RUNNING


def _could_run(row: JobRequest) -> bool:
    """Return whether a job is queued, or its start time has come."""
    has_start_time = row.status.timed
    return row.status is Status.QUEUED or (has_start_time and row.starts_in == 0)
