"""Run a job or task in its worker.

The worker claims a job, reads its payload, calls its function and records its outcome. Every
runner calls `run`, with a message that has been through JSON.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import clock
from aws.errors import AWS_ERRORS, retry_until
from errors import InvalidPayload, LegsSpent, PreconditionFailed, TimedOut
from runners import admission, gates, pausing, telemetry, tracebacks
from runners.children import Children
from runners.claiming import Invocation, claim
from runners.messages import JobMessage, Message, QueueMessage, TaskMessage
from runners.redriving import may_begin
from runners.registry import registry
from runners.retrying import record_failed_attempt, record_failed_task
from runners.sending import Send, send_admitted_follower, send_or_leave_due
from settings import settings
from store import blobs, verbs
from store.job_request import JobRequest
from store.pauses import Pause
from work.alarm import alarm
from work.around import CurrentWork, run_inside
from work.definitions import Job
from work.errors import AroundFailed
from work.results import as_json
from work.running_job import RunningJob
from work.signals import CancelAsked, ClaimLost, LegOver, Paused, TimeOver, TurnOver
from work.time_budget import TimeBudget

if TYPE_CHECKING:
    from pydantic import BaseModel

_T = TypeVar("_T")

# A job whose payload doesn't fit the model waits this many seconds for a deploy before it fails.
_DEPLOY_TIME = 60 * 60.0


class _Leg(NamedTuple):
    """One leg of a claimed job, with everything that the leg needs."""

    job: Job
    row: JobRequest
    invocation: Invocation
    budget: TimeBudget
    running: RunningJob
    send: Send | None


def run(message: Message, *, deadline: int, send: Send | None) -> None:
    """Handle a message. Return normally once an outcome is recorded.

    `deadline` is the time by which this process will have ended, in milliseconds since 1970. `send`
    is None if the runner can't send a message again: the job then gets no further leg.
    """
    with telemetry.work_context(message):
        match message:
            case JobMessage():
                run_job(message, deadline=deadline, send=send)
            case TaskMessage():
                run_task(message, send=send)
            case QueueMessage():
                admission.wake_up(message, send, deadline=deadline)


def run_task(message: TaskMessage, *, send: Send | None) -> None:
    """Run a task's function. If it fails and has a retry policy, send it again.

    Raises if the task is unknown, can't be loaded, begun or sent again, or if its payload is
    refused. Lambda then keeps the event, so the task isn't lost. A newer deploy may know it, for
    example.
    """
    task = registry().task(message.name)
    registry().load(task)
    payload = registry().task_payload(message.name, message.payload)
    if not may_begin(message):
        return
    work = CurrentWork(
        kind="task",
        name=message.name,
        id=message.id,
        organization_id=None,
        attempt=message.attempt,
    )
    try:
        telemetry.payload_given(payload)
        _run_in_context_managers(work, lambda: task.run(payload))
    except BaseException as error:  # noqa: BLE001 - a task may raise any exception
        tracebacks.begin_at_work(error)
        record_failed_task(message, error, send)
        _reraise_interrupt(error)
    else:
        telemetry.task_done(message)


def run_job(message: JobMessage, *, deadline: int, send: Send | None) -> None:
    """Claim a job, read its payload, call its function and record its outcome."""
    invocation = Invocation(clock.now(), deadline)
    row = claim(message, invocation, send)
    if row is None:
        return
    with telemetry.claimed(row):
        leg = _begin(row, invocation, send)
        payload = _read_payload(leg)
        if payload is not None:
            _call_function(leg, payload)


# --- before the function is called: most failures here only release the job -----------------------


def _begin(row: JobRequest, invocation: Invocation, send: Send | None) -> _Leg:
    job = registry().job(row.job_type)
    budget = TimeBudget(deadline=invocation.deadline, timeout_at=_timeout_at(job, row))
    running = RunningJob(
        row,
        budget,
        Children(send),
        has_next_leg=send is not None,
        may_wait=send is not None and row.legs < job.max_legs,
    )
    return _Leg(job, row, invocation, budget, running, send)


def _timeout_at(job: Job, row: JobRequest) -> int | None:
    if job.timeout is None:
        return None
    return (row.attempt_started_at or clock.now()) + int(job.timeout * clock.SECOND)


def _read_payload(leg: _Leg) -> "BaseModel | None":
    """Return the payload of a claimed job, or None if its function must not be called now.

    Most errors only release the job, to be tried later; the attempt fails if they last too long. An
    error that a later try would meet too fails the attempt at once.
    """
    try:
        stored = retry_until(
            leg.invocation.may_begin_until,
            lambda: blobs.get(leg.row.payload, leg.row.payload_key),
        )
        payload = registry().job_payload(leg.row.job_type, stored)
    except InvalidPayload as error:  # a newer deploy's model may accept the payload
        _release_or_fail(leg, error, _DEPLOY_TIME)
    except AWS_ERRORS as error:
        _release_or_fail(leg, error, leg.job.start_within)
    except Exception as error:  # noqa: BLE001 - such as a missing object: a later try fails too
        _record_failure(leg, error)
    else:
        if leg.invocation.has_time_to_start:
            telemetry.payload_given(payload)
            return payload
        _release(leg)
        send_or_leave_due(leg.row, leg.send)
    return None


def _release_or_fail(leg: _Leg, error: Exception, limit: float) -> None:
    """Release the job, so that the timer sends it again.

    If more than `limit` seconds have passed since the row's `could_run_at`, fail the attempt.
    """
    if clock.now() - leg.row.could_run_at > limit * clock.SECOND:
        _record_failure(leg, error)
    else:
        telemetry.left_for_later(error)
        _release(leg)


def _release(leg: _Leg) -> None:

    def release() -> JobRequest:
        released = verbs.release(leg.row)
        telemetry.released(released)
        return released

    _record(leg, release)


# --- the call, and how each ending is recorded ----------------------------------------------------


def _call_function(leg: _Leg, payload: "BaseModel") -> None:
    try:
        with alarm(leg.budget.left()):
            result = _run_in_context_managers(
                _current_work(leg.row), lambda: as_json(leg.job.run(leg.running, payload))
            )
    except AroundFailed as failed:
        _release_or_fail(leg, failed, leg.job.start_within)
    except ClaimLost as lost:
        telemetry.claim_lost(lost)
    except CancelAsked:
        _record_cancel(leg)
    except LegOver:
        _end_leg(leg)
    except TurnOver:
        _yield_slot(leg)
    except Paused as paused:
        _park(leg, paused.pause)
    except TimeOver:
        by_own_timeout, in_api = leg.budget.by_timeout, settings().api_runs_work
        _record_failure(leg, TimedOut(leg.job.timeout or 0, own=by_own_timeout, in_api=in_api))
    except BaseException as error:  # noqa: BLE001 - a job may raise any exception
        tracebacks.begin_at_work(error)
        _record_failure(leg, error)
        _reraise_interrupt(error)
    else:
        _record_success(leg, result)


def _current_work(row: JobRequest) -> CurrentWork:
    return CurrentWork(
        kind="job",
        name=row.job_type,
        id=row.id,
        organization_id=row.organization_id,
        attempt=row.attempt,
        leg=row.legs,
    )


def _run_in_context_managers(work: CurrentWork, call: Callable[[], _T]) -> _T:
    """Call `call` inside the context managers of AROUND."""
    return run_inside(registry().around, work, call, telemetry.around_failed)


def _record_success(leg: _Leg, result: Any) -> None:

    def succeed() -> JobRequest:
        ended = verbs.succeed(leg.row, result, message=leg.running.message)
        telemetry.succeeded(ended)
        return ended

    _record(leg, succeed)


def _record_cancel(leg: _Leg) -> None:

    def stop() -> JobRequest:
        ended = verbs.stop(leg.row, reached=leg.running.reached)
        telemetry.cancelled(ended)
        return ended

    _record(leg, stop)


def _record_failure(leg: _Leg, error: BaseException) -> None:
    """Record the failed attempt. Schedule the next one if the job may have another."""

    def fail() -> JobRequest:
        ended = record_failed_attempt(leg.row, error, leg.send, reached=leg.running.reached)
        telemetry.attempt_failed(ended, error)
        return ended

    _record(leg, fail)


def _end_leg(leg: _Leg) -> None:
    """Queue the job for its next leg. If it has used all its legs, fail the attempt."""

    def queue() -> JobRequest:
        ended = verbs.end_leg(leg.row, leg.running.reached)
        telemetry.leg_over(ended)
        if not ended.status.finished:
            send_or_leave_due(ended, leg.send)
        return ended

    if leg.row.legs >= leg.job.max_legs:
        _record_failure(leg, LegsSpent(leg.row.legs))
    else:
        _record(leg, queue)


def _yield_slot(leg: _Leg) -> None:
    """Park the job at the end of its line. If it has used all its legs, fail the attempt.

    In a queue without limits no job waits, so the next leg starts at once.
    """
    row, reached = leg.row, leg.running.reached
    if row.legs >= leg.job.max_legs:
        _record_failure(leg, LegsSpent(row.legs))
        return
    try:
        is_parked = retry_until(
            leg.invocation.deadline, lambda: gates.park_running(row, reached, leg.send)
        )
    except PreconditionFailed as refused:
        telemetry.claim_lost(refused)
    else:
        if not is_parked:
            _end_leg(leg)


def _park(leg: _Leg, pause: Pause) -> None:
    """Park the job under a pause.

    If AWS doesn't accept the write, end the leg instead. The job then parks before its next leg.
    """
    try:
        pausing.park(pause, leg.row, leg.running.reached, send=leg.send)
    except PreconditionFailed as refused:
        telemetry.claim_lost(refused)
    except AWS_ERRORS as error:
        telemetry.crashed(error)
        _end_leg(leg)


def _record(leg: _Leg, outcome: Callable[[], JobRequest]) -> None:
    """Write the outcome of the leg, and retry for as long as the invocation lasts.

    If the write frees the job's slot, admit the next job of its line. If another process has
    changed the row, drop the outcome.
    """
    try:
        ended = retry_until(leg.invocation.deadline, outcome)
    except PreconditionFailed as refused:
        # The write of an earlier try may have succeeded, and the row may have changed since.
        telemetry.claim_lost(refused)
    else:
        send_admitted_follower(ended, leg.send)
        if ended.slot is not None:
            return
    admission.admit_waiting_after(leg.row, leg.send)


def _reraise_interrupt(error: BaseException) -> None:
    """Raise a recorded Ctrl-C again, because the user wants to stop the process too."""
    if isinstance(error, KeyboardInterrupt):
        raise error
