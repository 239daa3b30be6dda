"""The life of a unit of work in its worker: claim, call, then succeed, retry or fail.

Every runner ends here, with a message that has been through JSON.
"""

import json
from typing import Any

from pydantic import BaseModel

from errors import LegsSpent, PreconditionFailed, ResultNotJson, TimedOut, UnknownJobType
from runners import log
from runners.base import Send
from runners.messages import JobMessage, Message, TaskMessage
from runners.outcome import answer, wait_before_retry, wake
from runners.registry import registry
from store import blobs, clock, verbs
from store.job_request import JobRequest, Status
from work.alarm import alarm
from work.definitions import Job
from work.running_job import RunningJob
from work.signals import ClaimLost, LegOver, TimeOver
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
    try:
        job = registry().job(message.job_type)
        row = verbs.claim(message.id, send_id=message.send_id, deadline=deadline)
    except UnknownJobType as unknown:
        log.left_for_later(unknown)  # unclaimed, it stays due: a newer deploy may know it
        return
    except PreconditionFailed as refused:
        log.not_claimed(refused)
        _delay_again(refused.row, send)
        return
    with log.claimed(row):
        budget = TimeBudget(deadline=deadline, timeout_at=_timeout_at(job, row))
        running = RunningJob(row, budget, has_next_leg=send is not None)
        try:
            with alarm(budget.left()):
                result = _call(job, running, row)
        except ClaimLost as lost:
            log.claim_lost(lost)
        except LegOver:
            _end_leg(job, running, row, send)
        except TimeOver:
            own = _timeout_at(job, row) == budget.ends
            _record_failure(TimedOut(job.timeout or 0, own=own), running, row, send)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a job raises is its error
            _record_failure(error, running, row, send)
        else:
            _record_success(row, running, result)


def _delay_again(row: JobRequest | None, send: Send | None) -> None:
    """A message that came before its job's time is sent again, for then."""
    if row is not None and row.status is Status.RETRYABLE and row.run_at is not None:
        wake(row, send, max(1, row.run_at - clock.now()) / clock.SECOND)


def run_task(message: TaskMessage, *, send: Send | None) -> None:
    """Run a task's function; if it fails and is tagged, send it again.

    An unknown task, or one that can't be sent again, raises: Lambda keeps the event.
    """
    task = registry().task(message.name)
    try:
        task.function(registry().task_payload(message.name, message.payload))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a task raises is its error
        answer_failed_task(message, error, send)
    else:
        log.task_done(message)


def answer_failed_task(message: TaskMessage, error: BaseException, send: Send | None) -> None:
    """Send a task that failed again if it is tagged and may be; else the log is its record."""
    retry = registry().task(message.name).retry
    most = retry.max_attempts if retry else 1
    delay = wait_before_retry(retry, message.attempt, most, error)
    if delay is None or send is None:
        log.task_failed(error)
    else:
        send(message.next_attempt(), delay)
        log.will_retry(error, delay)


def _call(job: Job, running: RunningJob, row: JobRequest) -> Any:
    payload = blobs.get(row.payload, row.payload_key)
    result = job.function(running, registry().job_payload(row.job_type, payload))
    return _as_json(result)


def _timeout_at(job: Job, row: JobRequest) -> int | None:
    if job.timeout is None:
        return None
    return (row.attempt_started_at or clock.now()) + int(job.timeout * clock.SECOND)


def _end_leg(job: Job, running: RunningJob, row: JobRequest, send: Send | None) -> None:
    """Queue the job for its next leg, unless it has had them all."""
    if row.legs >= job.max_legs:
        _record_failure(LegsSpent(row.legs), running, row, send)
        return
    try:
        row = verbs.end_leg(row, running.reached)
    except PreconditionFailed as refused:
        log.claim_lost(refused)
        return
    log.leg_over(row)
    wake(row, send)


def _record_success(row: JobRequest, running: RunningJob, result: Any) -> None:
    try:
        log.succeeded(verbs.succeed(row, result, message=running.message))
    except PreconditionFailed as refused:
        log.claim_lost(refused)


def _record_failure(
    error: BaseException, running: RunningJob, row: JobRequest, send: Send | None
) -> None:
    try:
        log.attempt_failed(answer(row, error, send, reached=running.reached), error)
    except PreconditionFailed as refused:
        log.claim_lost(refused)


def _as_json(result: Any) -> Any:
    if isinstance(result, BaseModel):
        result = result.model_dump(mode="json")
    try:
        return json.loads(blobs.canonical(result))
    except (TypeError, ValueError, RecursionError) as error:
        raise ResultNotJson(str(error)) from error
