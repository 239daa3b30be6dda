"""Log and count what happens to jobs and tasks.

Each function is named after an event, and determines how that event is logged, counted and traced.
To *settle* a job here is to record its outcome in place of its worker. A *claim* is a worker's
right to run a job. Many functions get a row whose job may have been *stopped* (canceled by a
caller) in the meantime, and then log that instead.

Payloads may contain personal data, so they are logged only if LOG_PAYLOADS is set. Results are
never logged.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from job_runners import clock
from job_runners.engine.telemetry import log, metrics, output, tracing
from job_runners.engine.telemetry.log import logger as logger  # for importers of this module too
from job_runners.errors import Interrupted
from job_runners.settings import settings
from job_runners.store.job_request import DuplicateAnswer, JobRequest, Status
from job_runners.work import context

if TYPE_CHECKING:
    from pydantic import BaseModel

    from job_runners.engine.telemetry.tracing import TracedMessage
    from job_runners.store.line_items import LineItem
    from job_runners.store.pauses import Pause
    from job_runners.store.rate import Rate


# --- the fields of every log line -----------------------------------------------------------------


@contextmanager
def work_context(message: "TracedMessage", operation: str = "process") -> Iterator[None]:
    """Trace the work that a message starts, and add its fields to every line inside the block.

    This includes lines that the job or task itself logs or prints. `operation` is OpenTelemetry's
    word for what this process does with the message.
    """
    fields = {
        "request_id": message.request_id,
        **message.log_fields,
        "worker": settings().worker_class,
    }
    token = context.request_id.set(message.request_id)
    try:
        with (
            tracing.working(message, operation),
            log.with_fields(fields | tracing.log_fields()),
            output.work_output(),
        ):
            yield
    finally:
        context.request_id.reset(token)


@contextmanager
def claimed(row: JobRequest) -> Iterator[None]:
    """Log and count a claim, and add the job's fields to every line inside the block.

    Inside the block, the job's author is also the author of the jobs that it dispatches.
    """
    fields = {
        "attempt": row.attempt,
        "invocation": row.invocations,
        "organization_id": row.organization_id,
    }
    token = context.author.set(context.Author.of_record(row.created_by))
    try:
        with log.with_fields(fields):
            wait = (row.started_at or 0) - row.could_run_at
            log.write(logger.info, "claimed", queue_wait_ms=wait)
            metrics.emit("job_type", row.job_type, QueueWait=wait)
            tracing.claimed(row, wait)
            yield
    finally:
        context.author.reset(token)


def called_with(payload: "BaseModel") -> None:
    """Log the function's payload if LOG_PAYLOADS is set. A SecretStr is masked."""
    if settings().log_payloads:
        log.write(logger.info, "payload", payload=payload.model_dump(mode="json"))


# --- a job before its attempt ends ----------------------------------------------------------------


def accepted(row: JobRequest) -> None:
    """Log that a new job was saved."""
    log.write(logger.info, "accepted", **_job_fields(row) | log.caller_fields())
    tracing.accepted(row)


def follow_up_saved(row: JobRequest) -> None:
    """Log that a follow-up was saved when the job that it follows ended."""
    log.write(logger.info, "accepted", **_job_fields(row), follow_up_of=row.follow_up_of)


def duplicate_answered(row: JobRequest, outcome: DuplicateAnswer) -> None:
    """Log how a request was answered because another job already had its unique key."""
    fields = _job_fields(row) | log.caller_fields()
    log.write(logger.info, "answered with an existing job", outcome=str(outcome), **fields)


def not_claimed(reason: Exception) -> None:
    """Log that a worker may not run a job. Most likely, another message about it came first."""
    log.write(logger.info, "not claimed", why=str(reason))
    tracing.ended("not claimed")


def race_lost(reason: Exception) -> None:
    """Log that another process has changed a row, slot or key since this process read it."""
    log.write(logger.info, "race lost", why=str(reason))


def not_sent(reason: Exception) -> None:
    """Log that a message could not be sent. The timer will send its job again."""
    log.write(logger.warning, "not sent, stays due", why=str(reason))


def left_for_later(reason: Exception) -> None:
    """Log and count work that can't run now, and why. It is tried again later."""
    log.write(logger.warning, "left for later", why=str(reason))
    metrics.emit_total(LeftForLater=1)
    tracing.ended("left for later", reason)


def not_loaded(name: str, reason: Exception) -> None:
    """Log that a job or task isn't available, because its function can't be imported."""
    log.write(logger.error, "can't be loaded", name_of_work=name, why=str(reason))


def worker_class_undeclared(worker_class: str) -> None:
    """Log that the default worker runs the work of a class that the stack doesn't have."""
    log.write(logger.warning, "worker class not declared", wanted=worker_class)


def worker_classes_ignored() -> None:
    """Log that the legacy runner runs all work in this process, whatever its worker class is."""
    log.write(logger.warning, "worker classes are ignored", why="JOB_RUNNER is legacy")


def worker_class_missing(function: str, reason: Exception) -> None:
    """Log and count a message that waits until its worker class's function can be called."""
    log.write(logger.warning, "worker class not there yet", function=function, why=str(reason))
    metrics.emit_total(LeftForLater=1)


def forwarded(worker_class: str) -> None:
    """Log that the default worker passed a message on to the worker class that it is for."""
    log.write(logger.info, "forwarded", forwarded_to=worker_class)
    tracing.ended("forwarded")


def released(row: JobRequest) -> None:
    """Log that a claimed job was released before its function was called."""
    if _is_stopped(row):
        canceled(row)
    else:
        log.write(logger.info, "released", status=str(row.status))
        tracing.ended("released")


def left_due(row: JobRequest, reason: Exception) -> None:
    """Log that no message about this job was sent. The timer will send one."""
    log.write(logger.warning, "not sent, stays due", **_job_fields(row), why=str(reason))


def held(row: JobRequest, pause: "Pause") -> None:
    """Log that a job was held under a pause, or was canceled instead."""
    _log_unless_canceled(row, "waits for resume", paused=f"{pause.kind} {pause.name}")


def held_in_line(row: JobRequest) -> None:
    """Log that a job was held until its queue has capacity, or was canceled instead."""
    _log_unless_canceled(row, "waits for capacity", **_queue_fields(row))


def waits(row: JobRequest) -> None:
    """Log that a job waits in its function, or was canceled instead."""
    _log_unless_canceled(row, "waits", waits_for=row.current_wait)


def _is_stopped(row: JobRequest) -> bool:
    """Return whether a job was canceled, or will be canceled after its members."""
    return row.status is Status.CANCELED or bool(row.cancel_members)


def _log_unless_canceled(row: JobRequest, message: str, **fields: Any) -> None:
    """Log this message, or the cancellation if the job was canceled."""
    if _is_stopped(row):
        canceled(row)
    else:
        log.write(logger.info, message, **_job_fields(row) | fields)
        tracing.ended(message, job_id=row.id)


def admitted(row: JobRequest) -> None:
    """Log that a waiting job was admitted."""
    log.write(logger.info, "admitted", **_job_fields(row) | _queue_fields(row), slot=row.slot)


def slot_freed(slot: "LineItem") -> None:
    """Log that a slot was freed because the row of the job that held it doesn't name the slot."""
    log.write(logger.warning, "slot freed", line=slot.pk, slot=slot.number, job=slot.holder)


def entry_quarantined(entry: "LineItem", reason: Exception) -> None:
    """Log and count a waiting job that left its line because this code can't handle its row.

    The jobs behind it are still admitted. The timer returns the job to its line once its row can be
    read.
    """
    log.write(logger.error, "quarantined", reason, line=entry.pk, job=entry.job_id)
    metrics.emit_total(Quarantined=1)


def started_outside_limits(row: JobRequest) -> None:
    """Log that a job starts although its queue's limits don't allow that now."""
    reason = "JOB_RUNNER's runner has no send(), so it could not admit the job later"
    log.write(logger.warning, "started outside limits", **_queue_fields(row), why=reason)


def invocation_over(row: JobRequest) -> None:
    """Log that a job continues in another invocation, or was canceled instead."""
    if _is_stopped(row):
        canceled(row)
    else:
        log.write(logger.info, "invocation over", progress=row.progress, status=str(row.status))
        tracing.ended("invocation over")


# --- how attempts end -----------------------------------------------------------------------------


def succeeded(row: JobRequest) -> None:
    """Log and count a job that succeeded, or was canceled instead."""
    if _is_stopped(row):
        canceled(row)
        return
    log.write(logger.info, "succeeded", run_ms=_run_time(row))
    tracing.ended("succeeded")
    _count_end(row, Succeeded=1)


def canceled(row: JobRequest) -> None:
    """Log and count a claimed job that was canceled because a caller had asked it to stop.

    If its group's members must be canceled first, log only that it waits for them.
    """
    if row.awaits_group:
        log.write(logger.info, "waits", **_job_fields(row), waits_for=row.current_wait)
        tracing.ended("waits", job_id=row.id)
        return
    log.write(logger.info, "canceled", run_ms=_run_time(row))
    tracing.ended("canceled", job_id=row.id)
    _count_end(row, Canceled=1)


def attempt_failed(row: JobRequest, error: BaseException) -> None:
    """Log and count an attempt that ended in an error, whether or not another attempt follows."""
    if _is_stopped(row):
        canceled(row)
    elif row.status is Status.FAILED:
        log.write(logger.error, "failed", error, run_ms=_run_time(row))
        tracing.ended("failed", error)
        _count_end(row, Failed=1)
    else:
        _log_retry(error, ((row.run_at or 0) - clock.now()) / clock.SECOND)
        metrics.emit("job_type", row.job_type, Retried=1)


def new_failure(row: JobRequest, group_id: str, *, was_resolved: bool = False) -> None:
    """Log and count a failure that is new in its organization, or was marked as resolved.

    An alarm watches this metric.
    """
    event = "resolved error group is back" if was_resolved else "new error group"
    log.write(logger.error, event, **_job_fields(row), error_group_id=group_id)
    metrics.emit_total(NewFailures=1)


def failure_not_counted(reason: BaseException) -> None:
    """Log that a failed job could not be counted in its error group."""
    log.write(logger.warning, "failure not counted", why=str(reason))


def claim_lost(reason: BaseException) -> None:
    """Log that this invocation's outcome is dropped, because another process changed the row."""
    log.write(logger.warning, "claim lost, outcome dropped", why=str(reason))
    tracing.ended("claim lost")


def settled(row: JobRequest, reason: Exception) -> None:
    """Log and count a job whose outcome wasn't recorded by its worker, but by another process.

    Either the worker couldn't record the outcome, or no worker started the job in time. The other
    process ended or held the job, or queued it for another attempt.
    """
    log_method = logger.error if row.status is Status.FAILED else logger.warning
    log.write(log_method, "settled", **_job_fields(row), why=str(reason))
    tracing.settled(row, reason)
    counts = {}
    if not row.awaits_group:  # otherwise it is counted when its members have been canceled
        metric_names = {Status.FAILED: "Failed", Status.CANCELED: "Canceled"}
        counts[metric_names.get(row.status, "Retried")] = 1
    if isinstance(reason, Interrupted):
        counts["Rescued"] = 1
    metrics.emit("job_type", row.job_type, **counts)


def not_settled(state: str) -> None:
    """Log that a failure record changes nothing. `state` is the job's state, or the reason."""
    log.write(logger.info, "failure record ignored", job_is=state)
    tracing.ended("failure record ignored")


def crashed(error: BaseException) -> None:
    """Log an error of our own code or of AWS.

    If it was about a row, the row stays due, so the timer looks at it again.
    """
    log.write(logger.error, "crashed", error)
    tracing.ended("crashed", error)


def oldest_wait(milliseconds: int) -> None:
    """Write the metric of the oldest wait for a signal."""
    metrics.emit_total(OldestWait=milliseconds)


def oldest_in_line(milliseconds: int) -> None:
    """Write the metric of the oldest wait in a line."""
    metrics.emit_total(OldestInLine=milliseconds)


# --- actions of callers ---------------------------------------------------------------------------


def canceled_by_caller(row: JobRequest) -> None:
    """Log that a caller has canceled a job, or asked a running job to stop."""
    log.write(logger.info, "cancel", **_job_fields(row) | log.caller_fields())
    if row.status is Status.CANCELED:
        metrics.emit("job_type", row.job_type, Canceled=1)


def signaled(row: JobRequest, name: str) -> None:
    """Log that a job got a signal."""
    fields = _job_fields(row) | log.caller_fields()
    log.write(logger.info, "signal", signal=name, **fields)


def queued_again(row: JobRequest) -> None:
    """Log that a finished job was queued again."""
    log.write(logger.info, "queued again", **_job_fields(row) | log.caller_fields())
    tracing.accepted(row)


def deleted(row: JobRequest) -> None:
    """Log that a finished job was deleted."""
    log.write(logger.info, "deleted", **_job_fields(row) | log.caller_fields())


def pause_changed(pause: "Pause") -> None:
    """Log that a job type or a queue was paused or resumed."""
    log.write(logger.info, str(pause.state), **{str(pause.kind): pause.name} | log.caller_fields())


def limits_changed(
    queue_name: str, slots: int | None, rate: "Rate | None", max_waiting: int | None
) -> None:
    """Log that a queue's limits were changed. None means that the limit in the code applies."""
    rate_text = None
    if rate is not None:
        rate_text = f"{rate.count}/{rate.seconds:g}s, burst {rate.burst}"
    log.write(
        logger.info,
        "limits changed",
        queue_name=queue_name,
        slots=slots,
        rate=rate_text,
        max_waiting=max_waiting,
        **log.caller_fields(),
    )


def limits_reset(queue_name: str) -> None:
    """Log that the limits of a queue were reset to those in the code."""
    log.write(logger.info, "limits reset", queue_name=queue_name, **log.caller_fields())


def webhook_changed(organization_id: str, name: str, event: str) -> None:
    """Log a caller's change to a webhook. Its URL may be a secret, so it isn't logged."""
    fields = {"webhook": name, "organization_id": organization_id}
    log.write(logger.info, event, **fields | log.caller_fields())


def around_failed(reason: Exception) -> None:
    """Log that a context manager of `job_runners.work.around` failed on exit.

    The job or task keeps its outcome.
    """
    log.write(logger.error, "around failed", reason)


# --- tasks ----------------------------------------------------------------------------------------


def task_done(message: "TracedMessage") -> None:
    """Log and count a task that returned."""
    log.write(logger.info, "task done", task_name=message.destination)
    tracing.ended("task done")
    metrics.emit("task_name", message.destination, Succeeded=1)


def task_failed(message: "TracedMessage", error: BaseException) -> None:
    """Log and count that a task failed for good. This may happen several times for one task."""
    log.write(logger.error, "task failed", error)
    tracing.ended("task failed", error)
    metrics.emit("task_name", message.destination, Failed=1)


def task_given_up() -> None:
    """Count a task that failed for good, once per task. An alarm watches this metric."""
    metrics.emit_total(TasksFailed=1)


def task_not_kept(error: BaseException) -> None:
    """Log that the record of a failed task could not be written."""
    log.write(logger.error, "failed task not kept", error)


def task_in_doubt(error: BaseException) -> None:
    """Log a task that may or may not have been sent. It isn't sent again."""
    log.write(logger.error, "task may have been sent or not", error)


def task_begun_elsewhere() -> None:
    """Log that a redriven task doesn't run, because another message has already started it."""
    log.write(logger.info, "not begun: another message has")
    tracing.ended("not begun")


def task_will_retry(message: "TracedMessage", error: BaseException, delay: float) -> None:
    """Log and count a task that failed and was sent again."""
    _log_retry(error, delay)
    metrics.emit("task_name", message.destination, Retried=1)


def _log_retry(error: BaseException, delay: float) -> None:
    delay_s = max(0.0, round(delay, 1))
    log.write(logger.warning, "attempt failed, will retry", error, delay_s=delay_s)
    tracing.ended("will retry", error)


def _job_fields(row: JobRequest) -> dict[str, Any]:
    """Return the fields that identify a job in a log line outside its own invocation.

    The line has another request_id too. It belongs to the request or invocation that acts on the
    job.
    """
    return {
        "job_id": row.id,
        "job_type": row.job_type,
        "organization_id": row.organization_id,
        "attempt": row.attempt,
        "status": str(row.status),
        "dispatched_by": row.request_id,  # the id of the HTTP request
    }


def _queue_fields(row: JobRequest) -> dict[str, Any]:
    return {"queue_name": row.queue_name, "concurrency_key": row.concurrency_key}


def _count_end(row: JobRequest, **counts: int) -> None:
    metrics.emit("job_type", row.job_type, RunTime=_run_time(row), **counts)


def _run_time(row: JobRequest) -> int:
    """Return how many milliseconds the last attempt took, from its first invocation to its end."""
    return (row.finished_at or 0) - (row.attempt_started_at or 0)
