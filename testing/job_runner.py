"""Runs jobs and tasks in a test, to their end, without waiting: the fixture `job_runner`."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pydantic import BaseModel

import runners
from runners.base import JobData
from runners.registry import registry
from store import failed_tasks
from testing import held_runner
from testing.aws import mocked_aws, own_settings
from testing.held_runner import HeldMessages
from testing.movable_clock import MovableClock
from testing.quiet_log import quiet_log
from testing.saved_jobs import SavedError, SavedJob, SavedJobs

Payload = Mapping[str, Any] | BaseModel | None
"""A payload as a dict, or as the pydantic model that the job or task takes."""


class InlineRunner:
    """Dispatches as your product does, and runs what was dispatched when it is told to."""

    def __init__(self, messages: HeldMessages) -> None:
        self._messages = messages

    def run(self, job_type: str, payload: Payload = None, **fields: Any) -> SavedJob:
        """Dispatch a job, run everything to its end, and return the job as it is then.

        Retries, legs and what the job dispatches are included; the clock is moved on instead of
        waiting. Raises what `dispatch` and `drain` raise.
        """
        job = self.dispatch(job_type, payload, **fields)
        self.drain()
        return SavedJobs().get(job.id)

    def dispatch(self, job_type: str, payload: Payload = None, **fields: Any) -> SavedJob:
        """Save a job and return it; it runs when it is told to. `fields` are those of JobData, such
        as campaign_id. Raises UnknownJobType, InvalidPayload, pydantic's ValidationError."""
        data = JobData(job_type=job_type, payload=plain_payload(payload), **fields)
        return SavedJob.of(runners.dispatch_job(data))

    def drain(self, *, seconds: float = 900) -> None:
        """Run everything that was dispatched, by whomever, to its end. Each invocation has so many
        seconds, then a job that checkpoints goes on in its next leg. AssertionError names the jobs
        that never end."""
        self._messages.run_all(seconds=seconds)

    def run_due(self) -> None:
        """Run what is due by now; what is scheduled for later, or waits for a retry, stays."""
        self._messages.run_due()

    def run_task(self, task_name: str, payload: Payload = None) -> None:
        """Dispatch a task and run everything to its end; AssertionError if the task failed for
        good. Raises UnknownTask, InvalidPayload."""
        __tracebackhide__ = True
        before = {task.id for task in failed_tasks.newest(limit=1000)}
        runners.dispatch_task(task_name, plain_payload(payload))
        self.drain()
        for task in failed_tasks.newest(limit=1000):
            if task.id not in before and task.task_name == task_name:
                error = SavedError(task.error_kind, task.error_message)
                raise AssertionError(
                    f"the task {task_name!r} failed for good in attempt {task.attempt}: {error}"
                )


def plain_payload(payload: Payload) -> dict[str, Any]:
    """Return a payload as JSON has it."""
    if isinstance(payload, BaseModel):
        return payload.model_dump(mode="json")
    return dict(payload or {})


@contextmanager
def inline_runner(
    movable_clock: MovableClock, environment: Mapping[str, str] | None = None
) -> Iterator[InlineRunner]:
    """Yield a runner on an AWS in this process, under these settings besides."""
    messages = HeldMessages(movable_clock)
    added = own_settings() | {"JOB_RUNNER": held_runner.__name__} | dict(environment or {})
    with mocked_aws(added), movable_clock.standing(), quiet_log():
        held_runner.hold_in(messages)
        try:
            registry()  # tables that can't be used are said before the test begins
            yield InlineRunner(messages)
        finally:
            held_runner.hold_in(None)
