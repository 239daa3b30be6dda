"""Follow a job over HTTP to its end."""

import time
from collections.abc import Callable
from typing import Any

from job_runners.cli.polling import FINISHED
from job_runners.client.connections import Answer
from job_runners.client.http_api import HttpApi
from job_runners.local.problem import LocalProblem
from job_runners.places import as_typed

ORGANIZATION = "default"

_BUSY = 503
_POLL_SECONDS = 0.2
_PATIENCE_SECONDS = 300  # seconds to wait without any progress


def _show_nothing(job: dict[str, Any]) -> None:
    pass


def follow(
    api: HttpApi,
    job_id: str,
    show: Callable[[dict[str, Any]], None] = _show_nothing,
    patience: float = _PATIENCE_SECONDS,
) -> dict[str, Any]:
    """Read a job until it is finished. Raises LocalProblem if it makes no progress for `patience`
    seconds.

    On a slow machine, the job may take longer, as long as it makes progress.
    """
    waiting = Waiting(f"The job {job_id[:8]}", patience)
    while True:
        answer = api.get(f"/jobs/{job_id}")
        if answer.status != _BUSY or waiting.is_over:  # otherwise read it again
            job = _job_of(answer, 200)
            show(job)
            if job["status"] in FINISHED:
                return job
            waiting.saw(job, f"is still {job['status']}, at {job['progress']:.0f}%")
        time.sleep(_POLL_SECONDS)


class Waiting:
    """A wait that ends after `patience` seconds without progress. Progress restarts the time."""

    def __init__(self, what: str, patience: float = _PATIENCE_SECONDS) -> None:
        self._what = what
        self._patience = patience
        self._last: Any = None
        self._until = time.monotonic() + patience

    @property
    def is_over(self) -> bool:
        """Whether there was no progress for too long."""
        return time.monotonic() > self._until

    def saw(self, now: Any, how_far: str) -> None:
        """Record the current state. Raises LocalProblem if it has not changed for too long."""
        if now != self._last:
            self._last, self._until = now, time.monotonic() + self._patience
        elif self.is_over:
            raise LocalProblem(
                f"{self._what} {how_far}, and has made no progress for {self._patience:.0f} s. "
                "It may still finish, but this run stops waiting. Look for the cause with "
                f"{as_typed('bin/jobs')} logs."
            )


def _job_of(answer: Answer, status: int) -> dict[str, Any]:
    if answer.status != status:
        raise LocalProblem(f"The API answered {answer.status} instead of {status}: {answer.text}")
    job: dict[str, Any] = answer.json
    return job
