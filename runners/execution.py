"""The life of a job or task in its worker, in order: claim it, read its payload, call its function,
record how that ended.

Every runner comes here, with a message that has been through JSON.
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

# How long a payload that its model refuses may wait for a deploy to go through, in seconds.
_DEPLOY_TIME = 60 * 60.0


class _Run(NamedTuple):
    """One claim of a job: its definition, its row, what its function is given, how to send more."""

    job: Job
    row: JobRequest
    invocation: Invocation
    budget: TimeBudget
    running: RunningJob
    send: Send | None


def run(message: Message, *, deadline: int, send: Send | None) -> None:
    """Do what a message asks for. Returns normally once an outcome is recorded.

    `deadline` is when this process ends for certain, in milliseconds since 1970.
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
    """Run a task's function; if it fails and is tagged, send it again.

    Raises for a task that is unknown or can't be loaded, has a payload that is refused, or can't be
    sent again, or begin: Lambda keeps the event, and a newer deploy may know it.
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
    except BaseException as error:  # noqa: BLE001 - whatever a task raises is its error
        tracebacks.begin_at_work(error)
        record_failed_task(message, error, send)
        _reraise_interrupt(error)
    else:
        telemetry.task_done(message)


def run_job(message: JobMessage, *, deadline: int, send: Send | None) -> None:
    """Claim a job, read its payload, call its function, record the outcome."""
    invocation = Invocation(clock.now(), deadline)
    row = claim(message, invocation, send)
    if row is None:
        return
    with telemetry.claimed(row):
        this = _begin(row, invocation, send)
        payload = _read_payload(this)
        if payload is not None:
            _call_function(this, payload)


# --- before the function is called: what goes wrong here costs no attempt -------------------------


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
    """Return the payload of a claimed job; None if its function must not be called now.

    Then the job goes back, to be tried again later, and fails only if the cause lasts too long.
    """
    try:
        stored = retry_until(
            this.invocation.may_begin_until,
            lambda: blobs.get(this.row.payload, this.row.payload_key),
        )
        payload = registry().job_payload(this.row.job_type, stored)
    except InvalidPayload as error:
        _give_back(this, error, _DEPLOY_TIME)  # a newer deploy's model may have taken it
    except AWS_ERRORS as error:
        _give_back(this, error, this.job.start_within)
    except Exception as error:  # noqa: BLE001 - its object is gone, say: later is no better
        _record_failure(this, error)
    else:
        if this.invocation.has_time_to_start:
            telemetry.given(payload)
            return payload
        _release(this)
        send_or_leave_due(this.row, this.send)
    return None


def _give_back(this: _Run, error: Exception, seconds: float) -> None:
    """Release the job, so that the timer sends it again; fail it if it could have run more than so
    many seconds ago."""
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


# --- the call, and what each way of its ending leads to -------------------------------------------


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
        _give_up_turn(this)
    except Paused as paused:
        _park(this, paused.pause)
    except TimeOver:
        own, in_api = this.budget.by_timeout, settings().api_runs_work
        _record_failure(this, TimedOut(this.job.timeout or 0, own=own, in_api=in_api))
    except BaseException as error:  # noqa: BLE001 - whatever a job raises is its error
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
    """Record the next attempt, or that there is none."""

    def fail() -> JobRequest:
        ended = record_failed_attempt(this.row, error, this.send, reached=this.running.reached)
        telemetry.attempt_failed(ended, error)
        return ended

    _record(this, fail)


def _end_leg(this: _Run) -> None:
    """Queue the job for its next leg, unless it has had them all."""

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


def _give_up_turn(this: _Run) -> None:
    """Park the job at the end of its line, unless it has had all its legs. Where its queue has no
    limits, nobody is in its way, and its next leg follows at once."""
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
    """Park the job; if that can't be written, end the leg: it is parked before the next one."""
    try:
        pausing.park(pause, this.row, this.running.reached, send=this.send)
    except PreconditionFailed as refused:
        telemetry.claim_lost(refused)
    except AWS_ERRORS as error:
        telemetry.crashed(error)
        _end_leg(this)


def _record(this: _Run, outcome: Callable[[], JobRequest]) -> None:
    """Write how the run ended, and keep trying for as long as the invocation lasts. The slot that
    it gives back goes to the next in the line.

    If somebody else has moved the row on, the outcome counts for nothing.
    """
    try:
        ended = retry_until(this.invocation.deadline, outcome)
    except PreconditionFailed as refused:
        telemetry.claim_lost(refused)  # perhaps an earlier try was written, and moved on since
    else:
        send_admitted_follower(ended, this.send)
        if ended.slot is not None:
            return
    admission.admit_waiting_after(this.row, this.send)


def _reraise_interrupt(error: BaseException) -> None:
    """Raise a Ctrl-C again, once it is recorded: it is meant for the process too."""
    if isinstance(error, KeyboardInterrupt):
        raise error
