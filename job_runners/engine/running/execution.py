"""Run the job or task of a message in the worker.

Every runner calls `run` with each message that it receives. A worker first *claims* a job, so that
no other worker runs it at the same time. Then it reads the payload and calls the job's function.
Finally it records the *ending*, which says how this invocation ended. An unfinished job continues
in another invocation. To *release* a job is to undo its claim, so that it can run later.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from job_runners import clock
from job_runners.aws.errors import AWS_ERRORS, retry_until
from job_runners.engine.control.redriving import claim_task
from job_runners.engine.registry.registry import registry
from job_runners.engine.running.claiming import Invocation, claim
from job_runners.engine.running.ending import (
    CancelEnding,
    ClaimedJob,
    ClaimLostEnding,
    Ending,
    FailureEnding,
    InvocationOverEnding,
    PauseEnding,
    ReleaseEnding,
    SuccessEnding,
    YieldEnding,
    fail_if_last,
    record,
)
from job_runners.engine.running.retrying import record_failed_task
from job_runners.engine.settling.settle import settle
from job_runners.engine.telemetry import telemetry, tracebacks
from job_runners.engine.wire.messages import JobMessage, Message, QueueMessage, TaskMessage
from job_runners.engine.wire.sending import Send, can_send
from job_runners.errors import InvalidPayload, MissingObject, NotDeployed, TimedOut
from job_runners.settings import settings
from job_runners.store import blobs
from job_runners.store.job_request import JobRequest
from job_runners.work import interrupts
from job_runners.work.alarm import alarm
from job_runners.work.around import CurrentWork, run_inside
from job_runners.work.definitions import Job
from job_runners.work.errors import AroundFailed
from job_runners.work.running_job import RunningJob
from job_runners.work.time_budget import TimeBudget

if TYPE_CHECKING:
    from pydantic import BaseModel

    from job_runners.engine.running.children import Children

_T = TypeVar("_T")

# How many seconds a job waits for a newer deploy before it fails, if its payload doesn't fit the
# model or its function raises NotDeployed.
_MAX_DEPLOY_WAIT = 60 * 60.0


def run(message: Message, *, deadline: int, send: Send) -> None:
    """Handle a message, and record the outcome. Raises an error if it can't be recorded.

    `deadline` is the time at which this process has to end, in milliseconds since 1970. `send`
    sends the messages that follow. If it can't send any (see `can_send`), the job gets no further
    invocation.
    """
    if settings().traces:
        # The app's own code may configure OpenTelemetry, so import it before the first span begins.
        # If the import fails, the functions below import it again and handle the error.
        with suppress(Exception):
            registry()
    with telemetry.work_context(message):
        match message:
            case JobMessage():
                run_job(message, deadline=deadline, send=send)
            case TaskMessage():
                run_task(message, send=send)
            case QueueMessage():
                # Imported here because most messages are about a job or task, not a queue.
                from job_runners.engine.lines import admission

                admission.wake_up(message, send, deadline=deadline)


def run_task(message: TaskMessage, *, send: Send) -> None:
    """Run a task's function. If it fails and its retry policy allows it, send the task again.

    Do nothing if another message has already begun the task.

    Raises an error if the task is unknown, can't be loaded or has an invalid payload, or if AWS
    fails before the task begins. Also raises an error if a failed task can't be sent again. After
    an error, Lambda keeps the event, because a newer deploy may be able to run the task.
    """
    task = registry().task(message.name)
    registry().load(task)
    payload = registry().task_payload(message.name, message.payload)
    if not claim_task(message):
        return
    try:
        telemetry.called_with(payload)
        work = CurrentWork("task", message.name, message.id, None, message.attempt)
        _run_in_context_managers(work, lambda: task.run(payload))
    except BaseException as error:  # noqa: BLE001 - a task may raise any exception
        tracebacks.drop_our_frames(error)
        record_failed_task(message, error, send)
        _raise_if_ctrl_c(error)
    else:
        telemetry.task_done(message)


def run_job(message: JobMessage, *, deadline: int, send: Send) -> None:
    """Claim a job, call its function, record how the invocation ended, and settle what follows."""
    invocation = Invocation(clock.now(), deadline)
    row = claim(message, invocation, send)
    if row is None:
        return
    with telemetry.claimed(row):
        claimed = _prepare(row, invocation, send)
        # Don't keep the ending in a variable. The traceback of its error refers to this frame, so
        # the frame and the ending would form a reference cycle.
        _end(claimed, _call(claimed))


def _prepare(row: JobRequest, invocation: Invocation, send: Send) -> ClaimedJob:
    """Collect what this invocation needs to run the job."""
    job = registry().job(row.job_type)
    budget = TimeBudget(deadline=invocation.deadline, timeout_at=_timeout_at(job, row))
    running = RunningJob(
        row,
        budget,
        make_dispatch=lambda: _make_children(send),
        can_start_invocation=can_send(send),
        may_be_paused=can_send(send) and row.counted_invocations < job.max_invocations,
    )
    return ClaimedJob(job, invocation, budget, running, send)


def _make_children(send: Send) -> "Children":
    # Imported here because most jobs dispatch nothing.
    from job_runners.engine.running.children import Children

    return Children(send)


def _timeout_at(job: Job, row: JobRequest) -> int | None:
    if job.timeout is None:
        return None
    return (row.attempt_started_at or clock.now()) + int(job.timeout * clock.SECOND)


def _end(claimed: ClaimedJob, ending: Ending) -> None:
    """Record how an invocation ended, and do everything that follows from it."""
    settle(record(claimed, ending), claimed.send)
    if isinstance(ending, FailureEnding):
        _raise_if_ctrl_c(ending.error)


def _call(claimed: ClaimedJob) -> Ending:
    """Read the payload of a claimed job, and call its function. Return how the invocation ended."""
    payload_or_ending = _read_payload(claimed)
    if isinstance(payload_or_ending, Ending):
        return payload_or_ending
    if claimed.row.rerun_of is not None:
        ending = _copy_steps(claimed)
        if ending is not None:
            return ending
    return _call_function(claimed, payload_or_ending)


def _read_payload(claimed: ClaimedJob) -> "BaseModel | Ending":
    """Return the payload of a claimed job, or an ending if its function must not be called now.

    After an error that may go away, the job is released and tried again later. If such errors last
    too long, the attempt fails. After any other error, the attempt fails at once.
    """
    try:
        stored = retry_until(
            claimed.invocation.may_begin_until,
            lambda: blobs.get(claimed.row.payload, claimed.row.payload_key),
        )
        payload = registry().job_payload(claimed.row.job_type, stored)
    except InvalidPayload as error:  # a newer deploy's model may accept the payload
        return _release_or_fail(claimed, error, _MAX_DEPLOY_WAIT)
    except AWS_ERRORS as error:
        return _release_or_fail(claimed, error, claimed.job.start_within)
    except Exception as error:  # noqa: BLE001 - such as a missing object: a later try fails too
        return FailureEnding(error)
    if not claimed.invocation.has_time_to_start:
        return ReleaseEnding(sends_now=True)  # another invocation starts the job at once
    telemetry.called_with(payload)
    return payload


def _copy_steps(claimed: ClaimedJob) -> Ending | None:
    """Copy the steps of the job that this rerun continues. Return an ending if that fails."""
    from job_runners.store import copied_steps  # imported here because most jobs aren't reruns

    row = claimed.row
    try:
        retry_until(claimed.invocation.may_begin_until, lambda: copied_steps.copy(row))
    except AWS_ERRORS as error:
        return _release_or_fail(claimed, error, claimed.job.start_within)
    except (copied_steps.CopiedStepsGone, MissingObject) as error:
        return FailureEnding(error)
    return None


def _call_function(claimed: ClaimedJob, payload: "BaseModel") -> Ending:
    """Call the job's function, and translate its result, interrupt or error into an ending.

    An *interrupt* is an exception that Job Runners raises in the function to stop it.
    """
    # Imported here because it imports pydantic, which `_read_payload` has imported by now.
    from job_runners.work.payloads import as_json

    row = claimed.row
    work = CurrentWork(
        "job", row.job_type, row.id, row.organization_id, row.attempt, row.invocations
    )
    try:
        with alarm(claimed.budget.left()):
            result = _run_in_context_managers(
                work, lambda: as_json(claimed.job.run(claimed.running, payload))
            )
    # A context manager of AROUND failed, or the function needs a newer deploy. In both cases the
    # work hasn't begun.
    except (AroundFailed, NotDeployed) as error:
        tracebacks.drop_our_frames(error)
        waits_for_deploy = isinstance(error, NotDeployed)
        max_wait = _MAX_DEPLOY_WAIT if waits_for_deploy else claimed.job.start_within
        return _release_or_fail(claimed, error, max_wait)
    except interrupts.ClaimLostInterrupt as interrupt:
        return ClaimLostEnding(interrupt)
    except interrupts.CancelInterrupt:
        return CancelEnding()
    except interrupts.InvocationOverInterrupt:
        return fail_if_last(claimed, InvocationOverEnding())
    except interrupts.YieldInterrupt:
        return _yield_ending(claimed)
    except interrupts.PauseInterrupt as interrupt:
        return PauseEnding(interrupt.pause)
    except interrupts.WaitInterrupt as interrupt:
        from job_runners.engine.running import wait_endings  # imported here because few jobs wait

        return wait_endings.ending_of(claimed, interrupt)
    except interrupts.TimeOverInterrupt:
        timed_out = TimedOut(
            claimed.job.timeout or 0,
            own_timeout=claimed.budget.by_timeout,
            in_api=settings().api_runs_work,
        )
        return FailureEnding(timed_out)
    except BaseException as error:  # noqa: BLE001 - a job may raise any exception
        tracebacks.drop_our_frames(error)
        return FailureEnding(error)
    return SuccessEnding(result)


def _release_or_fail(claimed: ClaimedJob, error: Exception, max_wait: float) -> Ending:
    """Return the ending of an invocation whose job could not begin its work.

    This is a release, so that the timer sends the job again. If the job has been ready to run for
    more than `max_wait` seconds, it is a failure instead.
    """
    if clock.now() - claimed.row.could_run_at > max_wait * clock.SECOND:
        return FailureEnding(error)
    telemetry.left_for_later(error)
    return ReleaseEnding()


def _yield_ending(claimed: ClaimedJob) -> Ending:
    """Return the ending of an invocation whose job yielded its slot to the next job in line.

    A queue without limits has no line, so the job's next invocation starts at once.
    """
    from job_runners.engine.running import gates  # imported here because most jobs don't yield

    line = retry_until(claimed.invocation.deadline, lambda: gates.line_of(claimed.row))
    ending = InvocationOverEnding() if line is None else YieldEnding(line)
    return fail_if_last(claimed, ending)


def _raise_if_ctrl_c(error: BaseException) -> None:
    """Raise a KeyboardInterrupt again after it was recorded, because it must end the process."""
    if isinstance(error, KeyboardInterrupt):
        raise error


def _run_in_context_managers(work: CurrentWork, call: Callable[[], _T]) -> _T:
    """Call `call` inside the context managers that the app lists in AROUND, if there are any."""
    context_managers = registry().around
    if not context_managers:
        return call()
    return run_inside(context_managers, work, call, telemetry.around_failed)
