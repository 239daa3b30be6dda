"""The life of a unit of work in its worker: claim, call, then succeed, retry or fail.

Every runner ends here, with a message that has been through JSON.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from errors import LegsSpent, PreconditionFailed, TimedOut, UnknownJobType
from runners import log, pause
from runners.base import Send
from runners.children import Children
from runners.messages import JobMessage, Message, TaskMessage
from runners.outcome import answer, answer_failed_task, wake
from runners.registry import registry
from store import aws, blobs, clock, verbs
from store.job_request import JobRequest
from store.pauses import Brake
from work.alarm import alarm
from work.definitions import Job
from work.results import as_json
from work.running_job import RunningJob
from work.signals import CancelAsked, ClaimLost, LegOver, Paused, TimeOver
from work.time_budget import TimeBudget


def run(message: Message, *, deadline: int, send: Send | None) -> None:
    """Do what a message asks for. Returns normally once an outcome is recorded.

    `deadline` is when this process ends for certain, in milliseconds since 1970.
    """
    with log.about(message):
        match message:
            case JobMessage():
                run_job(message, deadline=deadline, send=send)
            case TaskMessage():
                run_task(message, send=send)


def run_job(message: JobMessage, *, deadline: int, send: Send | None) -> None:
    """Claim a job, run its function, record the outcome."""
    row = _claim(message, deadline, send)
    if row is None:
        return
    with log.claimed(row):
        this = _begin(row, deadline, send)
        try:
            with alarm(this.budget.left()):
                result = _call(this)
        except ClaimLost as lost:
            log.claim_lost(lost)
        except CancelAsked:
            _record(lambda: log.cancelled(verbs.stop(row, reached=this.running.reached)))
        except LegOver:
            _end_leg(this)
        except Paused as paused:
            _hold_back(this, paused.brake)
        except TimeOver:
            _record_failure(this, TimedOut(this.job.timeout or 0, own=this.budget.by_timeout))
        except BaseException as error:  # noqa: BLE001 - whatever a job raises is its error
            _record_failure(this, error)
            _let_through(error)
        else:
            said = this.running.message
            _record(lambda: log.succeeded(verbs.succeed(row, result, message=said)))


@dataclass(frozen=True)
class _Run:
    """One claim of a job: what it is, what its function is handed, and the way to send more."""

    job: Job
    row: JobRequest
    budget: TimeBudget
    running: RunningJob
    send: Send | None


def _begin(row: JobRequest, deadline: int, send: Send | None) -> _Run:
    job = registry().job(row.job_type)
    budget = TimeBudget(deadline=deadline, timeout_at=_timeout_at(job, row))
    running = RunningJob(
        row,
        budget,
        Children(send),
        has_next_leg=send is not None,
        may_wait=send is not None and row.legs < job.max_legs,
    )
    return _Run(job, row, budget, running, send)


def _claim(message: JobMessage, deadline: int, send: Send | None) -> JobRequest | None:
    """The message's job, ours alone; None if it is not to be run now."""
    try:
        registry().job(message.job_type)
        if pause.holds_back(message):
            return None
        return verbs.claim(
            message.id, job_type=message.job_type, send_id=message.send_id, deadline=deadline
        )
    except UnknownJobType as unknown:
        log.left_for_later(unknown)  # unclaimed, it stays due: a newer deploy may know it
    except PreconditionFailed as refused:
        log.not_claimed(refused)
        _delay_again(refused.row, send)
    return None


def _delay_again(row: JobRequest | None, send: Send | None) -> None:
    """A message that came before its job's time is sent again, for then. One that was refused for
    another reason is not: its job is due."""
    if row is not None and row.early:
        wake(row, send, row.early / clock.SECOND)


def _let_through(error: BaseException) -> None:
    """Ctrl-C is an outcome, and for the process too."""
    if isinstance(error, KeyboardInterrupt):
        raise error


def run_task(message: TaskMessage, *, send: Send | None) -> None:
    """Run a task's function; if it fails and is tagged, send it again.

    An unknown task, or one that can't be sent again, raises: Lambda keeps the event.
    """
    task = registry().task(message.name)
    try:
        payload = registry().task_payload(message.name, message.payload)
        log.given(payload)
        task.function(payload)
    except BaseException as error:  # noqa: BLE001 - whatever a task raises is its error
        answer_failed_task(message, error, send)
        _let_through(error)
    else:
        log.task_done(message)


def _call(this: _Run) -> Any:
    given = blobs.get(this.row.payload, this.row.payload_key)
    payload = registry().job_payload(this.row.job_type, given)
    log.given(payload)
    return as_json(this.job.function(this.running, payload))


def _timeout_at(job: Job, row: JobRequest) -> int | None:
    if job.timeout is None:
        return None
    return (row.attempt_started_at or clock.now()) + int(job.timeout * clock.SECOND)


def _end_leg(this: _Run) -> None:
    """Queue the job for its next leg, unless it has had them all."""

    def queue() -> None:
        ended = verbs.end_leg(this.row, this.running.reached)
        log.leg_over(ended)
        if not ended.status.finished:
            wake(ended, this.send)

    if this.row.legs >= this.job.max_legs:
        _record_failure(this, LegsSpent(this.row.legs))
    else:
        _record(queue)


def _hold_back(this: _Run, brake: Brake) -> None:
    """Let the job wait for its brake; if that can't be written, it is held back when it comes to
    its next leg."""
    try:
        _record(lambda: pause.hold(brake, this.row, this.running.reached))
    except aws.FAILURES as error:
        log.crashed(error)
        _end_leg(this)


def _record_failure(this: _Run, error: BaseException) -> None:
    def fail() -> None:
        ended = answer(this.row, error, this.send, reached=this.running.reached)
        log.attempt_failed(ended, error)

    _record(fail)


def _record(outcome: Callable[[], None]) -> None:
    """Write how this invocation's run ended; if somebody else has moved the row on, it counts for
    nothing."""
    try:
        outcome()
    except PreconditionFailed as refused:
        log.claim_lost(refused)
