"""The life of a unit of work in its worker: claim, call, then succeed, retry or fail.

Every runner ends here, with a message that has been through JSON.
"""

from collections.abc import Callable
from typing import Any

from errors import LegsSpent, PreconditionFailed, TimedOut, UnknownJobType
from runners import log, pause
from runners.base import Send
from runners.children import Children
from runners.messages import JobMessage, Message, TaskMessage
from runners.outcome import answer, wait_before_retry, wake
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
        job = registry().job(row.job_type)
        budget = TimeBudget(deadline=deadline, timeout_at=_timeout_at(job, row))
        running = RunningJob(
            row,
            budget,
            Children(send),
            has_next_leg=send is not None,
            may_wait=send is not None and row.legs < job.max_legs,
        )
        try:
            with alarm(budget.left()):
                result = _call(job, running, row)
        except ClaimLost as lost:
            log.claim_lost(lost)
        except CancelAsked:
            _record(lambda: log.cancelled(verbs.stop(row, reached=running.reached)))
        except LegOver:
            _end_leg(job, running, row, send)
        except Paused as paused:
            _hold_back(paused.brake, job, running, row, send)
        except TimeOver:
            own = _timeout_at(job, row) == budget.ends
            _record_failure(TimedOut(job.timeout or 0, own=own), running, row, send)
        except BaseException as error:  # noqa: BLE001 - whatever a job raises is its error
            _record_failure(error, running, row, send)
            _let_through(error)
        else:
            _record(lambda: log.succeeded(verbs.succeed(row, result, message=running.message)))


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
    if row is not None and row.status.timed and row.run_at is not None:
        early = row.run_at - clock.now()
        if early > 0:
            wake(row, send, early / clock.SECOND)


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


def answer_failed_task(message: TaskMessage, error: BaseException, send: Send | None) -> None:
    """Send a task that failed again if it is tagged and may be; else the log is its record."""
    retry = registry().task(message.name).retry
    most = retry.max_attempts if retry else 1
    delay = wait_before_retry(retry, message.attempt, most, error)
    if delay is None or send is None:
        log.task_failed(message, error)
    else:
        send(message.next_attempt(), delay)
        log.task_will_retry(message, error, delay)


def _call(job: Job, running: RunningJob, row: JobRequest) -> Any:
    given = blobs.get(row.payload, row.payload_key)
    payload = registry().job_payload(row.job_type, given)
    log.given(payload)
    return as_json(job.function(running, payload))


def _timeout_at(job: Job, row: JobRequest) -> int | None:
    if job.timeout is None:
        return None
    return (row.attempt_started_at or clock.now()) + int(job.timeout * clock.SECOND)


def _end_leg(job: Job, running: RunningJob, row: JobRequest, send: Send | None) -> None:
    """Queue the job for its next leg, unless it has had them all."""

    def queue() -> None:
        ended = verbs.end_leg(row, running.reached)
        log.leg_over(ended)
        if not ended.status.finished:
            wake(ended, send)

    if row.legs >= job.max_legs:
        _record_failure(LegsSpent(row.legs), running, row, send)
    else:
        _record(queue)


def _hold_back(
    brake: Brake, job: Job, running: RunningJob, row: JobRequest, send: Send | None
) -> None:
    """Let the job wait for its brake; if that can't be written, it is held back when it comes to
    its next leg."""
    try:
        _record(lambda: pause.hold(brake, row, running.reached))
    except aws.FAILURES as error:
        log.crashed(error)
        _end_leg(job, running, row, send)


def _record_failure(
    error: BaseException, running: RunningJob, row: JobRequest, send: Send | None
) -> None:
    _record(lambda: log.attempt_failed(answer(row, error, send, reached=running.reached), error))


def _record(outcome: Callable[[], None]) -> None:
    """Write how this invocation's run ended; if somebody else has moved the row on, it counts for
    nothing."""
    try:
        outcome()
    except PreconditionFailed as refused:
        log.claim_lost(refused)
