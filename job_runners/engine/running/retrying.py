"""Decide after a failed attempt whether and when to retry the work, and record the decision."""

import math
from typing import Any

from job_runners import clock
from job_runners.aws.errors import AWS_ERRORS, retry_until
from job_runners.engine.registry.registry import registry
from job_runners.engine.telemetry import telemetry, tracebacks
from job_runners.engine.wire.messages import TaskMessage
from job_runners.engine.wire.sending import Send, can_send, next_due_at
from job_runners.errors import (
    ChildExpired,
    DoNotRetry,
    GroupExpired,
    Interrupted,
    InvalidPayload,
    InvocationsSpent,
    MissingObject,
    RetryAfter,
    SendInDoubt,
    TimedOut,
)
from job_runners.names import without_surrogates
from job_runners.settings import settings
from job_runners.store import transitions
from job_runners.store.conditional_write import Change
from job_runners.store.job_request import JobRequest
from job_runners.work.definitions import LONGEST_WAIT
from job_runners.work.errors import RAISED_IN, CursorTooLarge, EntryNotLoaded
from job_runners.work.retry import Retry

_NON_RETRYABLE = (
    ChildExpired,
    CursorTooLarge,
    DoNotRetry,
    EntryNotLoaded,
    GroupExpired,
    InvalidPayload,
    InvocationsSpent,
    MissingObject,
)
# How many characters of an error the row stores. Each write of the row is billed by its size.
_MESSAGE_LIMIT = 1000
_TRACEBACK_LIMIT = 3000
_FRAME_LIMIT = 200
_MODULE_LIMIT = 200
_STEP_LIMIT = 200
_RECORD_TIME = 3 * clock.SECOND  # how long to retry the write of a failed task's record


def record_failed_attempt(
    row: JobRequest,
    error: BaseException,
    send: Send,
    *,
    rescue: bool = False,
    checkpoint: transitions.Checkpoint | None = None,
) -> Change:
    """Record a failed attempt: schedule the next attempt if the job may have one, or fail the job.

    If a caller has asked it to stop, cancel it instead. Pass `rescue` for a job whose worker
    is gone. `checkpoint` is the last one of the attempt, if known. `send` would send the job.

    Raises PreconditionFailed if another process has changed the row.
    """
    delay = seconds_before_retry(_retry_policy(row), row.attempt, row.max_attempts, error)
    if delay is None or row.counted_invocations >= _max_invocations(row):
        return transitions.fail(row, error_record(error), checkpoint=checkpoint, rescue=rescue)
    run_at = clock.now() + int(delay * clock.SECOND)
    return transitions.retry(
        row,
        error_record(error),
        run_at=run_at,
        due_at=next_due_at(run_at, send),
        checkpoint=checkpoint,
        rescue=rescue,
    )


def record_failed_task(message: TaskMessage, error: BaseException, send: Send) -> None:
    """Send a failed task again if its retry policy allows it. Otherwise record that it failed."""
    retry = registry().task(message.name).retry
    max_attempts = retry.max_attempts if retry else 1
    delay = seconds_before_retry(retry, message.attempt, max_attempts, error)
    if delay is None or not can_send(send):
        give_up_task(message, error)
        return
    try:
        send(message.next_attempt(error), delay)
    except SendInDoubt as doubt:
        telemetry.task_in_doubt(doubt)
    else:
        telemetry.task_will_retry(message, error, delay)


def give_up_task(message: TaskMessage, error: BaseException) -> None:
    """Log, count and store that a task failed for good.

    One failure may be reported twice. Each report is logged and counted as `Failed`; `TasksFailed`
    counts only the first. If AWS doesn't accept the record, only the log line reports the failure,
    and `TasksFailed` still counts it.
    """
    # Imported here because most jobs and tasks don't need it.
    from job_runners.store import failed_tasks

    telemetry.task_failed(message, error)
    recorded = error_record(error)
    try:
        is_new = retry_until(
            clock.now() + _RECORD_TIME,
            lambda: failed_tasks.record(
                message.id,
                task_name=message.name,
                attempt=message.attempt,
                error_kind=recorded["kind"],
                error_message=recorded["message"],
                request_id=message.request_id,
                payload=message.payload if settings().keep_task_payloads else None,
            ),
        )
    except AWS_ERRORS as unwritten:
        telemetry.task_not_kept(unwritten)
        is_new = True
    if is_new:
        telemetry.task_given_up()


def seconds_before_retry(
    retry: Retry | None, attempt: int, max_attempts: int, error: BaseException
) -> float | None:
    """Return the seconds until the next attempt, or None if there is none."""
    if retry is None or attempt >= max_attempts or isinstance(error, _NON_RETRYABLE):
        return None
    if isinstance(error, Interrupted | TimedOut) and not retry.interrupted:
        return None
    if isinstance(error, RetryAfter):
        return min(max(0.0, error.seconds), LONGEST_WAIT)
    return retry.delay(attempt)


def error_record(error: BaseException) -> dict[str, Any]:
    """Return the error's record for the row: its kind, its message and the end of its traceback.

    If the work's own code raised it, the record also has the `frame` that raised it. If its class
    is neither Python's nor ours, the record also has the `module` of the class. If a step raised
    it, the record also has the name of the `step`.
    """
    kind = type(error).__name__
    frame = tracebacks.work_frame(error)
    return {
        "kind": kind,
        "message": without_surrogates(_text_of(error)[:_MESSAGE_LIMIT]) or kind,
        "traceback": without_surrogates(tracebacks.formatted(error)[-_TRACEBACK_LIMIT:]),
        **({} if frame is None else {"frame": without_surrogates(frame[:_FRAME_LIMIT])}),
        **_module_of(error),
        **_step_of(error),
    }


def _module_of(error: BaseException) -> dict[str, str]:
    """Return the field `module`, or nothing for a class of Python or of ours.

    Leaving it out keeps rows small: each later write of the row is billed by its size.
    """
    module = str(type(error).__module__)
    if module == "builtins" or module.startswith("job_runners."):
        return {}
    return {"module": without_surrogates(module[:_MODULE_LIMIT])}


def _step_of(error: BaseException) -> dict[str, str]:
    step = getattr(error, RAISED_IN, None)
    return {} if step is None else {"step": step[:_STEP_LIMIT]}


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as str_error:  # noqa: BLE001 - the work's own code may raise any exception
        return f"the error's __str__ raised {type(str_error).__name__}"


def _max_invocations(row: JobRequest) -> float:
    known = registry().jobs.get(row.job_type)
    return known.max_invocations if known else math.inf


def _retry_policy(row: JobRequest) -> Retry | None:
    known = registry().jobs.get(row.job_type)
    # A newer deploy may have types that this deploy doesn't have. For those types, the row's
    # max_attempts limits the retries.
    return known.retry if known else Retry()
