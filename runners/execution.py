"""Run a job or task in its worker.

The worker claims a job, reads its payload, calls its function and records its outcome. Every
runner calls this module, with a message that was serialized as JSON.
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

# How many seconds a job waits for a deploy if its payload doesn't fit the model, before it fails.
_DEPLOY_TIME = 60 * 60.0


class _Run(NamedTuple):
    """One claim of a job, with everything that its run needs."""

    job: Job
    row: JobRequest
    invocation: Invocation
    budget: TimeBudget
    running: RunningJob
    send: Send | None


def run(message: Message, *, deadline: int, send: Send | None) -> None:
    """Handle a message. Return normally once an outcome is recorded.

    `deadline` is the time at which this process certainly ends, in milliseconds since 1970.
    """
    with telemetry.about(message):
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
    refused. Lambda then keeps the event, because a newer deploy may know the task.
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
        telemetry.given(payload)
        _run_inside_around(work, lambda: task.run(payload))
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
        this = _begin(row, invocation, send)
        payload = _read_payload(this)
        if payload is not None:
            _call_function(this, payload)


# --- before the function is called: a failure here costs no attempt -------------------------------


def _begin(row: JobRequest, invocation: Invocation, send: Send | None) -> _Run:
    job = registry().job(row.job_type)
    budget = TimeBudget(deadline=invocation.deadline, timeout_at=_timeout_at(job, row))
    running = RunningJob(
        row,
        budget,
        Children(send),
        has_next_leg=send is not None,
        may_wait=send is not None and row.legs < job.max_legs,
    )
    return _Run(job, row, invocation, budget, running, send)


def _timeout_at(job: Job, row: JobRequest) -> int | None:
    if job.timeout is None:
        return None
    return (row.attempt_started_at or clock.now()) + int(job.timeout * clock.SECOND)


def _read_payload(this: _Run) -> "BaseModel | None":
    """Return the payload of a claimed job, or None if its function must not be called now.

    In that case the job is released, to be tried later. It fails only if the cause lasts too long.
    """
    try:
        stored = retry_until(
            this.invocation.may_begin_until,
            lambda: blobs.get(this.row.payload, this.row.payload_key),
        )
        payload = registry().job_payload(this.row.job_type, stored)
    except InvalidPayload as error:
        _give_back(this, error, _DEPLOY_TIME)  # a newer deploy's model may accept it
    except AWS_ERRORS as error:
        _give_back(this, error, this.job.start_within)
    except Exception as error:  # noqa: BLE001 - such as a missing object: a later try fails too
        _record_failure(this, error)
    else:
        if this.invocation.has_time_to_start:
            telemetry.given(payload)
            return payload
        _release(this)
        send_or_leave_due(this.row, this.send)
    return None


def _give_back(this: _Run, error: Exception, seconds: float) -> None:
    """Release the job, so that the timer sends it again, or fail it if it has tried for too long.

    The time starts when the job could first have run. `seconds` is its limit.
    """
    if clock.now() - this.row.could_run_at > seconds * clock.SECOND:
        _record_failure(this, error)
    else:
        telemetry.left_for_later(error)
        _release(this)


def _release(this: _Run) -> None:

    def release() -> JobRequest:
        released = verbs.release(this.row)
        telemetry.released(released)
        return released

    _record(this, release)


# --- the call, and how each ending is recorded ----------------------------------------------------


def _call_function(this: _Run, payload: "BaseModel") -> None:
    try:
        with alarm(this.budget.left()):
            result = _run_inside_around(
                _current_work(this.row), lambda: as_json(this.job.run(this.running, payload))
            )
    except AroundFailed as failed:
        _give_back(this, failed, this.job.start_within)
    except ClaimLost as lost:
        telemetry.claim_lost(lost)
    except CancelAsked:
        _record_cancel(this)
    except LegOver:
        _end_leg(this)
    except TurnOver:
        _yield_slot(this)
    except Paused as paused:
        _park(this, paused.pause)
    except TimeOver:
        own, in_api = this.budget.by_timeout, settings().api_runs_work
        _record_failure(this, TimedOut(this.job.timeout or 0, own=own, in_api=in_api))
    except BaseException as error:  # noqa: BLE001 - a job may raise any exception
        tracebacks.begin_at_work(error)
        _record_failure(this, error)
        _reraise_interrupt(error)
    else:
        _record_success(this, result)


def _current_work(row: JobRequest) -> CurrentWork:
    return CurrentWork(
        kind="job",
        name=row.job_type,
        id=row.id,
        organization_id=row.organization_id,
        attempt=row.attempt,
        leg=row.legs,
    )


def _run_inside_around(work: CurrentWork, call: Callable[[], _T]) -> _T:
    return run_inside(registry().around, work, call, telemetry.around_failed)


def _record_success(this: _Run, result: Any) -> None:

    def succeed() -> JobRequest:
        ended = verbs.succeed(this.row, result, message=this.running.message)
        telemetry.succeeded(ended)
        return ended

    _record(this, succeed)


def _record_cancel(this: _Run) -> None:

    def stop() -> JobRequest:
        ended = verbs.stop(this.row, reached=this.running.reached)
        telemetry.cancelled(ended)
        return ended

    _record(this, stop)


def _record_failure(this: _Run, error: BaseException) -> None:
    """Record the failed attempt. Schedule the next one if the job may have another."""

    def fail() -> JobRequest:
        ended = record_failed_attempt(this.row, error, this.send, reached=this.running.reached)
        telemetry.attempt_failed(ended, error)
        return ended

    _record(this, fail)


def _end_leg(this: _Run) -> None:
    """Queue the job for its next leg. If it has used all its legs, fail the attempt."""

    def queue() -> JobRequest:
        ended = verbs.end_leg(this.row, this.running.reached)
        telemetry.leg_over(ended)
        if not ended.status.finished:
            send_or_leave_due(ended, this.send)
        return ended

    if this.row.legs >= this.job.max_legs:
        _record_failure(this, LegsSpent(this.row.legs))
    else:
        _record(this, queue)


def _yield_slot(this: _Run) -> None:
    """Park the job at the end of its line. If it has used all its legs, fail the attempt.

    In a queue without limits no job waits, so the next leg starts at once.
    """
    row, reached = this.row, this.running.reached
    if row.legs >= this.job.max_legs:
        _record_failure(this, LegsSpent(row.legs))
        return
    try:
        is_parked = retry_until(
            this.invocation.deadline, lambda: gates.park_running(row, reached, this.send)
        )
    except PreconditionFailed as refused:
        telemetry.claim_lost(refused)
    else:
        if not is_parked:
            _end_leg(this)


def _park(this: _Run, pause: Pause) -> None:
    """Park the job. If AWS doesn't accept the write, end the leg: the job parks before the next."""
    try:
        pausing.park(pause, this.row, this.running.reached, send=this.send)
    except PreconditionFailed as refused:
        telemetry.claim_lost(refused)
    except AWS_ERRORS as error:
        telemetry.crashed(error)
        _end_leg(this)


def _record(this: _Run, outcome: Callable[[], JobRequest]) -> None:
    """Write the outcome of the run, and retry for as long as the invocation lasts.

    If the write frees the job's slot, admit the next job of its line. If another process has
    changed the row, drop the outcome.
    """
    try:
        ended = retry_until(this.invocation.deadline, outcome)
    except PreconditionFailed as refused:
        telemetry.claim_lost(refused)  # an earlier try may have been written, and the row moved on
    else:
        send_admitted_follower(ended, this.send)
        if ended.slot is not None:
            return
    admission.admit_waiting_after(this.row, this.send)


def _reraise_interrupt(error: BaseException) -> None:
    """Raise a Ctrl-C again after it was recorded, because it is meant for the process too."""
    if isinstance(error, KeyboardInterrupt):
        raise error
