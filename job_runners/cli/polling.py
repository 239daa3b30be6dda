"""Follows jobs to their end: asks when the API says it is worth it, and shows what changed."""

import heapq
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from job_runners.cli.api import Api, Job, Seen
from job_runners.cli.problem import Exit, Problem
from job_runners.cli.watching import Screen

FINISHED = frozenset({"succeeded", "failed", "cancelled"})
_PATIENCE = 300  # seconds without any answer, until we give up
_PAUSE = 5  # seconds between tries meanwhile


@dataclass
class Followed:
    """What has been seen of each job so far."""

    jobs: dict[str, Job | None] = field(default_factory=dict)

    @property
    def unfinished(self) -> list[str]:
        """The ids of those that have not ended, as far as we know."""
        return [
            each for each, job in self.jobs.items() if job is None or job["status"] not in FINISHED
        ]

    @property
    def code(self) -> Exit:
        """How it ended, for a script."""
        statuses = {job["status"] for job in self.jobs.values() if job}
        if "failed" in statuses:
            return Exit.JOB_FAILED
        if "cancelled" in statuses:
            return Exit.JOB_CANCELLED
        return Exit.STILL_RUNNING if self.unfinished else Exit.DONE


def follow(
    api: Api, followed: Followed, ids: Iterable[str], screen: Screen, timeout: float | None
) -> None:
    """Until all have ended, or `timeout` seconds have passed. `followed` is kept up to date, so
    that whoever interrupts this knows how far it came."""
    followed.jobs = dict.fromkeys(ids)
    until = None if timeout is None else time.monotonic() + timeout
    next_looks = [(0.0, job_id) for job_id in followed.jobs]
    while next_looks:
        due, job_id = heapq.heappop(next_looks)
        if until is not None and max(due, time.monotonic()) > until:
            time.sleep(max(0.0, until - time.monotonic()))
            return
        time.sleep(max(0.0, due - time.monotonic()))
        seen = _patiently(api, job_id, screen)
        followed.jobs[job_id] = seen.job
        screen.show(seen.job)
        if seen.job["status"] not in FINISHED:
            heapq.heappush(next_looks, (time.monotonic() + seen.retry_after, job_id))


def _patiently(api: Api, job_id: str, screen: Screen) -> Seen:
    """Look at a job, through a network that comes and goes."""
    give_up = time.monotonic() + _PATIENCE
    while True:
        try:
            return api.job(job_id)
        except Problem as problem:
            if problem.code is not Exit.NO_ANSWER or time.monotonic() > give_up:
                raise
            screen.note(f"{problem} Trying again.")
        time.sleep(_PAUSE)
