"""How a failed attempt is answered: tried again, and when, or given up."""

import math
import traceback
from typing import Any

import clock
from errors import (
    CursorTooLarge,
    DoNotRetry,
    Interrupted,
    InvalidPayload,
    LegsSpent,
    MissingObject,
    RetryAfter,
    SendFailed,
    SendInDoubt,
    TimedOut,
)
from runners import telemetry
from runners.base import LONGEST_WAIT, Send
from runners.messages import JobMessage, TaskMessage
from runners.registry import registry
from store import conditional_write, verbs
from store.job_request import JobRequest
from work.retry import Retry

# The longest delay that every runner's message can carry (SQS), in seconds: of a job that waits
# longer the timer makes sure when its time has come.
LONGEST_DELAY = 900.0

_NON_RETRYABLE = (CursorTooLarge, DoNotRetry, InvalidPayload, LegsSpent, MissingObject)
_MESSAGE_LIMIT = 1000  # characters; the row is billed on every write
_TRACEBACK_LIMIT = 3000


def record_failed_attempt(
    row: JobRequest,
    error: BaseException,
    send: Send | None,
    *,
    rescue: bool = False,
    reached: verbs.Checkpoint | None = None,
) -> JobRequest:
    """Record a failed attempt: to be tried again if it is tagged and may be, else as the outcome.
    If its owner has asked for it to stop, it does.

    `rescue` is for a job whose claimer is gone; `reached` is how far the attempt came, if known.
    Returns the row as written. Raises PreconditionFailed if someone else has moved it on.
    """
    if row.cancel_requested:
        return verbs.stop(row, error=error_record(error), reached=reached, rescue=rescue)
    delay = wait_before_retry(_retry_tag(row), row.attempt, row.max_attempts, error)
    if delay is None or row.legs >= _max_legs(row):
        return verbs.fail(row, error_record(error), rescue=rescue)
    run_at = clock.now() + int(delay * clock.SECOND)
    row = verbs.retry(
        row,
        error_record(error),
        run_at=run_at,
        due_at=next_due_at(run_at, send),
        reached=reached,
        rescue=rescue,
    )
    if not row.status.finished:
        send_or_leave_due(row, send, delay)
    return row


def record_failed_task(message: TaskMessage, error: BaseException, send: Send | None) -> None:
    """Send a task that failed again if it is tagged and may be; else the log is its record."""
    retry = registry().task(message.name).retry
    most = retry.max_attempts if retry else 1
    delay = wait_before_retry(retry, message.attempt, most, error)
    if delay is None or send is None:
        telemetry.task_failed(message, error)
        return
    try:
        send(message.next_attempt(error), delay)
    except SendInDoubt as doubt:
        telemetry.task_in_doubt(doubt)
    else:
        telemetry.task_will_retry(message, error, delay)


def next_due_at(run_at: int, send: Send | None) -> int:
    """When the timer looks for a job that may start at `run_at`: a little later if a message should
    have started it, at once if none will."""
    by_message = send is not None and run_at - clock.now() <= LONGEST_DELAY * clock.SECOND
    return run_at + conditional_write.GRACE if by_message else run_at


def wait_before_retry(
    retry: Retry | None, attempt: int, max_attempts: int, error: BaseException
) -> float | None:
    """Seconds until the next attempt; None if there is none."""
    if retry is None or attempt >= max_attempts or isinstance(error, _NON_RETRYABLE):
        return None
    if isinstance(error, Interrupted | TimedOut) and not retry.interrupted:
        return None
    if isinstance(error, RetryAfter):
        return min(max(0.0, error.seconds), LONGEST_WAIT)
    return retry.delay(attempt)


def send_or_leave_due(row: JobRequest, send: Send | None, delay: float = 0) -> None:
    """Send the message that a job goes on by. If it can't be sent, the row is due all the same."""
    if send is None:
        return
    try:
        send(JobMessage.about(row), delay)
    except SendFailed as error:
        telemetry.left_due(row, error)


def error_record(error: BaseException) -> dict[str, Any]:
    """Return what the row keeps of an error: its kind, its message, the end of its traceback."""
    trace = "".join(traceback.format_exception(error)) if error.__traceback__ else ""
    # Not inherited: a subclass of a renamed class has a name of its own.
    kind = vars(type(error)).get("recorded_as", type(error).__name__)
    return {
        "kind": kind,
        "message": str(error)[:_MESSAGE_LIMIT] or kind,
        "traceback": trace[-_TRACEBACK_LIMIT:],
    }


def _max_legs(row: JobRequest) -> float:
    known = registry().jobs.get(row.job_type)
    return known.max_legs if known else math.inf


def _retry_tag(row: JobRequest) -> Retry | None:
    known = registry().jobs.get(row.job_type)
    return known.retry if known else Retry()  # of a newer deploy's job: its row says whether
