"""What is logged and counted about work: every event's wording, its metrics, and the fields that
each line carries, in one place.

Payloads are people's data: they are logged only where LOG_PAYLOADS asks for it, results never.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aws_lambda_powertools import Logger
from pydantic import BaseModel

import clock
from errors import Interrupted
from runners import metrics
from runners.messages import JobMessage, Message, TaskMessage
from settings import settings
from store.job_request import JobRequest, Status
from store.pauses import Pause
from work import context

logger = Logger()


def adopt_standard_logging() -> None:
    """Lines that work and libraries log through Python's own `logging` carry the same fields."""
    for handler in logging.getLogger().handlers:
        ends_lines = isinstance(handler, logging.StreamHandler)
        handler.setFormatter(logger.registered_formatter if ends_lines else _Line())


class _Line(logging.Formatter):
    """Ends a line itself: Lambda's own handler writes what it is given, and no more."""

    def format(self, record: logging.LogRecord) -> str:
        return logger.registered_formatter.format(record) + "\n"


# --- the fields of every line ---------------------------------------------------------------------


@contextmanager
def about(message: Message) -> Iterator[None]:
    """Every line logged inside carries which work it is about, those of the work's own code too."""
    fields: dict[str, Any] = {"request_id": message.request_id}
    if isinstance(message, JobMessage):
        fields |= {"job_id": message.id, "job_type": message.job_type}
    else:
        fields |= {"task_id": message.id, "task_name": message.name, "attempt": message.attempt}
    token = context.request_id.set(message.request_id)
    try:
        with _fields(fields):
            yield
    finally:
        context.request_id.reset(token)


@contextmanager
def claimed(row: JobRequest) -> Iterator[None]:
    """As `about`, once the row is ours. What it dispatches has the author that it has."""
    fields = {
        "attempt": row.attempt,
        "leg": row.legs,
        "organization_id": row.organization_id,
    }
    token = context.author.set(context.Author.of_record(row.created_by))
    try:
        with _fields(fields):
            wait = (row.started_at or 0) - max(row.queued_at or 0, row.run_at or 0)
            logger.info("claimed", extra={"queue_wait_ms": wait})
            metrics.emit("job_type", row.job_type, QueueWait=wait)
            yield
    finally:
        context.author.reset(token)


@contextmanager
def _fields(fields: dict[str, Any]) -> Iterator[None]:
    # The legacy runner works in threads: Powertools' plain context keys would mix their lines.
    logger.thread_safe_append_keys(**fields)
    try:
        yield
    finally:
        logger.thread_safe_remove_keys(fields)


def given(payload: BaseModel) -> None:
    """What the work is called with, where that is asked for. A SecretStr stays one."""
    if settings().log_payloads:
        logger.info("payload", extra={"payload": payload.model_dump(mode="json")})


# --- a job on its way -----------------------------------------------------------------------------


def accepted(row: JobRequest) -> None:
    """A job was saved, for the request whose id this line carries."""
    logger.info("accepted", extra=_whose(row) | who())


def not_claimed(why: Exception) -> None:
    """A second message about the same job, most likely: only one can claim."""
    logger.info("not claimed", extra={"why": str(why)})


def moved(why: Exception) -> None:
    """Somebody else has changed the row since it was read, and sees to it."""
    logger.info("moved meanwhile", extra={"why": str(why)})


def not_sent(why: Exception) -> None:
    """A message did not leave; its job is due, and is sent again."""
    logger.warning("not sent, stays due", extra={"why": str(why)})


def left_for_later(why: Exception) -> None:
    """This code does not know the job, or the message; another deploy does."""
    logger.warning("left for later", extra={"why": str(why)})


def released(row: JobRequest) -> None:
    """Log that a claimed job went back before its function was called."""
    if row.status is Status.CANCELLED:
        cancelled(row)
    else:
        logger.info("released", extra={"status": str(row.status)})


def left_due(row: JobRequest, why: Exception) -> None:
    """The message did not leave; the timer will send it."""
    logger.warning("not sent, stays due", extra=_whose(row) | {"why": str(why)})


def parked(row: JobRequest, pause: Pause) -> None:
    """Log that a job which could run is parked, and under which pause."""
    paused = {"paused": f"{pause.kind} {pause.name}"}
    logger.info("held back", extra=_whose(row) | paused)


def leg_over(row: JobRequest) -> None:
    """The invocation ends here; the job goes on in another, unless it was cancelled or paused."""
    if row.status is Status.CANCELLED:
        cancelled(row)
    else:
        logger.info("leg over", extra={"progress": row.progress, "status": str(row.status)})


# --- how its attempts end -------------------------------------------------------------------------


def succeeded(row: JobRequest) -> None:
    """A job has its result."""
    logger.info("succeeded", extra={"run_ms": _run_time(row)})
    _ended(row, Succeeded=1)


def cancelled(row: JobRequest) -> None:
    """A running job did as its owner had asked."""
    logger.info("cancelled", extra={"run_ms": _run_time(row)})
    _ended(row, Cancelled=1)


def attempt_failed(row: JobRequest, error: BaseException) -> None:
    """An attempt ended in an error: the job's, or one that another attempt follows."""
    if row.status is Status.CANCELLED:
        cancelled(row)
    elif row.status is Status.FAILED:
        logger.error("failed", exc_info=error, extra={"run_ms": _run_time(row)})
        _ended(row, Failed=1)
    else:
        _will_retry(error, ((row.run_at or 0) - clock.now()) / clock.SECOND)
        metrics.emit("job_type", row.job_type, Retried=1)


def claim_lost(why: BaseException) -> None:
    """Someone else has moved the row on: whatever this invocation found out is void."""
    logger.warning("claim lost, outcome dropped", extra={"why": str(why)})


def settled(row: JobRequest, why: Exception) -> None:
    """A job whose worker can't say how it ended, or that no worker took in time, has got its next
    attempt, or its outcome."""
    write = logger.error if row.status is Status.FAILED else logger.warning
    write("settled", extra=_whose(row) | {"why": str(why)})
    counts = {Status.FAILED: "Failed", Status.CANCELLED: "Cancelled"}
    rescued = {"Rescued": 1} if isinstance(why, Interrupted) else {}
    metrics.emit("job_type", row.job_type, **{counts.get(row.status, "Retried"): 1}, **rescued)


def not_settled(state: str) -> None:
    """A failure record of a message that no longer has the job: it says nothing about it now."""
    logger.info("failure record ignored", extra={"job_is": state})


def crashed(error: BaseException) -> None:
    """Our own machinery failed under a job or task: its row, if any, stays due."""
    logger.error("crashed", exc_info=error)


# --- what its owner does --------------------------------------------------------------------------


def cancelled_by_owner(row: JobRequest) -> None:
    """A job was cancelled, or asked to stop, by a person or a service."""
    logger.info("cancel", extra=_whose(row) | who())
    if row.status is Status.CANCELLED:
        metrics.emit("job_type", row.job_type, Cancelled=1)


def queued_again(row: JobRequest) -> None:
    """A finished job is to be done again."""
    logger.info("queued again", extra=_whose(row) | who())


def deleted(row: JobRequest) -> None:
    """A finished job was forgotten."""
    logger.info("deleted", extra=_whose(row) | who())


def pause_changed(pause: Pause) -> None:
    """Log that a job type or a queue was paused or resumed."""
    logger.info(str(pause.state), extra={str(pause.kind): pause.name} | who())


# --- tasks ----------------------------------------------------------------------------------------


def task_done(message: TaskMessage) -> None:
    """A task returned."""
    logger.info("task done", extra={"task_name": message.name})
    metrics.emit("task_name", message.name, Succeeded=1)


def task_failed(message: TaskMessage, error: BaseException) -> None:
    """A task failed and will not run again. There is no row: this line is its record."""
    logger.error("task failed", exc_info=error)
    metrics.emit("task_name", message.name, Failed=1)


def task_in_doubt(error: BaseException) -> None:
    """A task may have been sent or not, and is not sent again. This line is its record."""
    logger.error("task may have been sent or not", exc_info=error)


def task_will_retry(message: TaskMessage, error: BaseException, delay: float) -> None:
    """A task failed and was sent again."""
    _will_retry(error, delay)
    metrics.emit("task_name", message.name, Retried=1)


def _will_retry(error: BaseException, delay: float) -> None:
    logger.warning("attempt failed, will retry", exc_info=error, extra={"delay_s": round(delay, 1)})


def who() -> dict[str, Any]:
    """Return the fields of a line about what somebody asked for: who did, in which role, and for
    which organisation, if the caller is bound to one."""
    author = context.author.get()
    if author is None:
        return {}
    bound = {"organization_id": author.organization_id} if author.organization_id else {}
    return {"caller": author.name, "role": author.role, **bound}


def _whose(row: JobRequest) -> dict[str, Any]:
    """Of a line outside the job's own invocation. It keeps the request_id of whoever acts."""
    return {
        "job_id": row.id,
        "job_type": row.job_type,
        "organization_id": row.organization_id,
        "attempt": row.attempt,
        "status": str(row.status),
        "dispatched_by": row.request_id,
    }


def _ended(row: JobRequest, **counts: int) -> None:
    metrics.emit("job_type", row.job_type, RunTime=_run_time(row), **counts)


def _run_time(row: JobRequest) -> int:
    """Of the attempt that ended the job, over all its legs."""
    return (row.finished_at or 0) - (row.attempt_started_at or row.started_at or 0)
