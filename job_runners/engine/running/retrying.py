"""Record a failed attempt of a job or task, and schedule a retry or give up."""

import math
from typing import Any

from job_runners import clock, errors
from job_runners.aws.errors import AWS_ERRORS, retry_until
from job_runners.engine.registry.registry import registry
from job_runners.engine.telemetry import telemetry, tracebacks
from job_runners.engine.wire.messages import TaskMessage
from job_runners.engine.wire.sending import Send, can_send, next_due_at
from job_runners.names import without_surrogates
from job_runners.settings import settings
from job_runners.store import transitions
from job_runners.store.conditional_write import Change
from job_runners.store.job_request import JobRequest
from job_runners.work.definitions import MAX_WAIT
from job_runners.work.errors import RAISED_IN, CursorTooLarge, FunctionNotLoaded
from job_runners.work.retry import Retry

_NON_RETRYABLE = (
    errors.ChildExpired,
    CursorTooLarge,
    errors.DoNotRetry,
    FunctionNotLoaded,
    errors.GroupExpired,
    errors.InvalidPayload,
    errors.InvocationsSpent,
    errors.MissingObject,
)
# How many characters of each field the row stores. The limits keep the row small, because AWS bills
# each write by the size of the row.
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
    """Record a failed attempt. Schedule the next attempt if the job may have one, or fail the job.

    If a caller has asked the job to stop, cancel it instead. `send` is the function that will send
    the next attempt. Pass `rescue=True` if the job's worker is gone. `checkpoint` is the last
    checkpoint that the job's function reached, or None if it isn't known.

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
    except errors.SendInDoubt as doubt:
        telemetry.task_in_doubt(doubt)
    else:
        telemetry.task_will_retry(message, error, delay)


def give_up_task(message: TaskMessage, error: BaseException) -> None:
    """Log, count and store that a task failed for good.

    If one failure is reported twice, the metric `Failed` counts both reports, and the metric
    `TasksFailed` counts only the first. If AWS doesn't store the failure, both metrics count it.
    """
    # Imported here because most tasks don't fail for good.
    from job_runners.store import failed_tasks

    telemetry.task_failed(message, error)
    error_fields = error_record(error)
    try:
        is_new = retry_until(
            clock.now() + _RECORD_TIME,
            lambda: failed_tasks.record(
                message.id,
                task_name=message.name,
                attempt=message.attempt,
                error_kind=error_fields["kind"],
                error_message=error_fields["message"],
                request_id=message.request_id,
                payload=message.payload if settings().keep_task_payloads else None,
            ),
        )
    except AWS_ERRORS as write_error:
        telemetry.task_not_kept(write_error)
        is_new = True
    if is_new:
        telemetry.task_given_up()


def seconds_before_retry(
    retry: Retry | None, attempt: int, max_attempts: int, error: BaseException
) -> float | None:
    """Return the seconds until the next attempt, or None if there is none."""
    if retry is None or attempt >= max_attempts or isinstance(error, _NON_RETRYABLE):
        return None
    was_interrupted = isinstance(error, errors.Interrupted | errors.TimedOut)
    if was_interrupted and not retry.interrupted:
        return None
    if isinstance(error, errors.RetryAfter):
        # The job's own code chose this delay, so it may be negative or too long.
        return min(max(0.0, error.seconds), MAX_WAIT)
    return retry.delay(attempt)


def error_record(error: BaseException) -> dict[str, Any]:
    """Return the fields that a job's row stores about an error.

    - `kind`: the name of the error's class
    - `message`
    - `traceback`: the end of the traceback
    - `frame`: where the error was raised, if that is in the work's own code
    - `module`: the module of the error's class, unless Python or Job Runners defines the class
    - `step`: the name of the step that raised the error, if a step did
    """
    kind = type(error).__name__
    traceback = tracebacks.format_error(error)
    record = {
        "kind": kind,
        "message": without_surrogates(_message_of(error)[:_MESSAGE_LIMIT]) or kind,
        "traceback": without_surrogates(traceback[-_TRACEBACK_LIMIT:]),
    }
    frame = tracebacks.work_frame(error)
    if frame is not None:
        record["frame"] = without_surrogates(frame[:_FRAME_LIMIT])
    module = str(type(error).__module__)
    if module != "builtins" and not module.startswith("job_runners."):
        record["module"] = without_surrogates(module[:_MODULE_LIMIT])
    step = getattr(error, RAISED_IN, None)
    if step is not None:
        record["step"] = step[:_STEP_LIMIT]
    return record


def _message_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as str_error:  # noqa: BLE001 - the work's own code may raise any exception
        return f"the error's __str__ raised {type(str_error).__name__}"


def _max_invocations(row: JobRequest) -> float:
    job = registry().jobs.get(row.job_type)
    return job.max_invocations if job else math.inf


def _retry_policy(row: JobRequest) -> Retry | None:
    job = registry().jobs.get(row.job_type)
    # If this deploy doesn't know the job type, use the default delays. The row's max_attempts still
    # limits the retries.
    return job.retry if job else Retry()
