"""The fixture `job_runner`: runs jobs and tasks to completion in a test, without waiting."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pydantic import BaseModel

from job_runners import runners
from job_runners.engine.control import caller_actions, signaling
from job_runners.engine.lines import pausing
from job_runners.engine.registry.registry import registry
from job_runners.errors import InternalJobType as InternalJobType  # tests import it from here
from job_runners.errors import InvalidPayload as InvalidPayload
from job_runners.errors import JobNotFound
from job_runners.runners.base import JobData
from job_runners.store import failed_tasks, queries
from job_runners.store.job_request import JobRequest
from job_runners.store.pauses import Kind
from job_runners.testing import held_runner
from job_runners.testing.aws import process_on_simulated_aws, project_settings
from job_runners.testing.held_runner import MessageQueue
from job_runners.testing.movable_clock import MovableClock
from job_runners.testing.quiet_log import quiet_log
from job_runners.testing.saved_jobs import SavedError, SavedJob, SavedJobs

Payload = Mapping[str, Any] | BaseModel | None
"""A payload as a dict, or as the pydantic model that the job or task takes."""


class InlineRunner:
    """Dispatches jobs and tasks as your product does, and runs them when the test asks for it."""

    def __init__(self, message_queue: MessageQueue) -> None:
        self._message_queue = message_queue

    def run(
        self,
        job_type: str,
        payload: Payload = None,
        *,
        signals: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> SavedJob:
        """Dispatch a job, run all dispatched work to completion, and return the finished job.

        This includes retries, further invocations, and work that the job dispatches. The test
        doesn't wait, because the clock moves forward. `signals` are those of `drain`. Raises the
        errors of `dispatch` and `drain`.
        """
        job = self.dispatch(job_type, payload, **fields)
        self.drain(signals=signals)
        return SavedJobs().get(job.id)

    def dispatch(self, job_type: str, payload: Payload = None, **fields: Any) -> SavedJob:
        """Save a job and return it, without running it. `fields` are those of JobData, such as
        queue_name.

        Raises UnknownJobType, InternalJobType, InvalidPayload or pydantic's ValidationError.
        """
        data = JobData(job_type=job_type, payload=plain_payload(payload), **fields)
        return SavedJob.of(runners.dispatch_job(data))

    def drain(self, *, seconds: float = 900, signals: Mapping[str, Any] | None = None) -> None:
        """Run all dispatched work to completion.

        An invocation may take `seconds`, after which a job with checkpoints continues in its next
        invocation. `signals` maps the names of signals to their values: a job that waits for one of
        them gets it, and other waits time out. Raises AssertionError if some jobs never end.
        """
        self._message_queue.run_all(seconds=seconds, signals=signals)

    def signal(self, job: SavedJob | str, name: str, value: Any = None) -> None:
        """Send a signal to a job, without running the job. Raises SignalConflict, SignalTooLate or
        JobNotFound.
        """
        signaling.signal(_row(job), name, value, held_runner.send)

    def cancel(self, job: SavedJob | str, *, members: bool = False) -> None:
        """Cancel a job as a caller does. A running job stops at its next written checkpoint.

        With `members`, also cancel the unfinished members of its groups, which then end before the
        job. Raises WrongState if the job has ended, or JobNotFound.
        """
        cancel = caller_actions.cancel_with_members if members else caller_actions.cancel
        cancel(_row(job), held_runner.send)

    def retry(self, job: SavedJob | str, payload: Payload = None) -> None:
        """Retry a failed or canceled job manually, without running it.

        The job continues at its cursor, or starts over if you pass a new payload. Raises
        WrongState, InvalidPayload or JobNotFound.
        """
        new_payload = None if payload is None else plain_payload(payload)
        caller_actions.retry_again(_row(job), held_runner.send, new_payload)

    def pause(self, job_type: str | None = None, *, queue: str | None = None) -> None:
        """Pause a job type or a queue, as an operator does.

        During a pause, use `run_due`, because `drain` moves the clock forward until the waiting
        jobs fail. Raises UnknownJobType.
        """
        pausing.pause(*_what_to_pause(job_type, queue))

    def resume(self, job_type: str | None = None, *, queue: str | None = None) -> None:
        """End a pause. The jobs that waited run at the next `run_due` or `drain`."""
        pausing.resume(*_what_to_pause(job_type, queue), held_runner.send)

    def run_due(self) -> None:
        """Run only the work that is due now: no retries or jobs that are due later."""
        self._message_queue.run_due()

    def run_task(self, task_name: str, payload: Payload = None) -> None:
        """Dispatch a task, and run all dispatched work to completion.

        Raises UnknownTask, InvalidPayload, or AssertionError if the task failed permanently.
        """
        __tracebackhide__ = True
        old_failures = {task.id for task in failed_tasks.newest(limit=1000)}
        runners.dispatch_task(task_name, plain_payload(payload))
        self.drain()
        for task in failed_tasks.newest(limit=1000):
            if task.id not in old_failures and task.task_name == task_name:
                error = SavedError(task.error_kind, task.error_message)
                raise AssertionError(
                    f"The task {task_name!r} failed permanently in attempt {task.attempt}: {error}"
                )


def _row(job: SavedJob | str) -> JobRequest:
    job_id = job if isinstance(job, str) else job.id
    row = queries.read(job_id)
    if row is None:
        raise JobNotFound(job_id)
    return row


def _what_to_pause(job_type: str | None, queue: str | None) -> tuple[Kind, str]:
    match job_type, queue:
        case str(), None:
            return Kind.JOB_TYPE, job_type
        case None, str():
            return Kind.QUEUE, queue
    raise TypeError('Pass a job type, as in pause("remind"), or a queue, as in pause(queue="mail")')


def plain_payload(payload: Payload) -> dict[str, Any]:
    """Return a payload as a dict of JSON values."""
    if isinstance(payload, BaseModel):
        return payload.model_dump(mode="json")
    return dict(payload or {})


@contextmanager
def inline_runner(
    movable_clock: MovableClock | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[InlineRunner]:
    """Yield a runner that uses a simulated AWS in this process.

    `environment` has additional environment variables.
    """
    movable_clock = movable_clock or MovableClock()
    message_queue = MessageQueue(movable_clock)
    variables = {
        **project_settings(),
        "JOB_RUNNER": held_runner.__name__,
        **(environment or {}),
    }
    with process_on_simulated_aws(variables), movable_clock.in_use(), quiet_log():
        held_runner.hold_in(message_queue)
        try:
            # If the app's JOBS have an error, raise it before the test begins.
            registry().check_worker_classes()
            yield InlineRunner(message_queue)
        finally:
            held_runner.hold_in(None)
