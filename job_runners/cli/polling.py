"""Follow jobs until they finish: poll when the API suggests, and show changes."""

import heapq
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from job_runners.cli.api import Api, Job, Seen
from job_runners.cli.problem import Exit, Problem
from job_runners.cli.watching import Screen


class Readable(Protocol):
    """Reads a job at each poll: the API, or an object that shows something else as a job."""

    def job(self, job_id: str, /) -> Seen:
        """Return the job as it is now."""


class JobsWithGroups:
    """Reads jobs for people. If a job waits for a group, read how many members have ended, too."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def job(self, job_id: str) -> Seen:
        """Return the job as it is now. Its `waits_for` may have the group's `counts`."""
        seen = self._api.job(job_id)
        found = seen.job.get("waits_for")
        if found is not None and found["kind"] == "group":
            groups = {each["name"]: each for each in self._api.groups(job_id)}
            seen.job["waits_for"] = {**found, "counts": groups.get(found["name"])}
        return seen


FINISHED = frozenset({"succeeded", "failed", "cancelled"})
_PATIENCE = 300  # seconds without an answer before giving up
_PAUSE = 5  # seconds between tries while the API doesn't answer


@dataclass
class FollowedJobs:
    """The last known state of each job."""

    jobs: dict[str, Job | None] = field(default_factory=dict)

    @property
    def unfinished(self) -> list[str]:
        """The ids of jobs that aren't known to have finished."""
        return [
            each for each, job in self.jobs.items() if job is None or job["status"] not in FINISHED
        ]

    @property
    def code(self) -> Exit:
        """The exit code for these jobs."""
        statuses = {job["status"] for job in self.jobs.values() if job}
        if "failed" in statuses:
            return Exit.JOB_FAILED
        if "cancelled" in statuses:
            return Exit.JOB_CANCELLED
        return Exit.STILL_RUNNING if self.unfinished else Exit.DONE


def follow(
    api: Readable, followed: FollowedJobs, ids: Iterable[str], screen: Screen, timeout: float | None
) -> None:
    """Follow jobs until all have finished or `timeout` seconds have passed.

    `followed` is updated at each poll, so that the caller can use it after an interrupt.
    """
    followed.jobs = dict.fromkeys(ids)
    deadline = None if timeout is None else time.monotonic() + timeout
    next_polls = [(0.0, job_id) for job_id in followed.jobs]
    while next_polls:
        poll_at, job_id = heapq.heappop(next_polls)
        if deadline is not None and max(poll_at, time.monotonic()) > deadline:
            time.sleep(max(0.0, deadline - time.monotonic()))
            return
        time.sleep(max(0.0, poll_at - time.monotonic()))
        seen = _get_patiently(api, job_id, screen)
        followed.jobs[job_id] = seen.job
        screen.show(seen.job)
        if seen.job["status"] not in FINISHED:
            heapq.heappush(next_polls, (time.monotonic() + seen.retry_after, job_id))


def _get_patiently(api: Readable, job_id: str, screen: Screen) -> Seen:
    """Get a job, and retry for a few minutes while the API doesn't answer."""
    give_up = time.monotonic() + _PATIENCE
    while True:
        try:
            return api.job(job_id)
        except Problem as problem:
            if problem.code is not Exit.NO_ANSWER or time.monotonic() > give_up:
                raise
            screen.note(f"{problem} Retrying.")
        time.sleep(_PAUSE)
