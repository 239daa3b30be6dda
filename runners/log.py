"""What is logged about work: every event's wording, and the fields each line carries, in one place.

Payloads and results are never logged.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aws_lambda_powertools import Logger

from runners.messages import JobMessage, Message, TaskMessage
from store import clock
from store.job_request import JobRequest, Status
from store.pauses import Brake
from work import context

logger = Logger()


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
    """As `about`, once the row is ours."""
    fields = {
        "attempt": row.attempt,
        "leg": row.legs,
        "organization_id": row.organization_id,
    }
    with _fields(fields):
        wait = (row.started_at or 0) - max(row.queued_at or 0, row.run_at or 0)
        logger.info("claimed", extra={"queue_wait_ms": wait})
        yield


@contextmanager
def _fields(fields: dict[str, Any]) -> Iterator[None]:
    # The legacy runner works in threads: Powertools' plain context keys would mix their lines.
    logger.thread_safe_append_keys(**fields)
    try:
        yield
    finally:
        logger.thread_safe_remove_keys(fields)


def not_claimed(why: Exception) -> None:
    """A second message about the same job, most likely: only one can claim."""
    logger.info("not claimed", extra={"why": str(why)})


def left_for_later(why: Exception) -> None:
    """This code does not know the job, or the message; another deploy does."""
    logger.warning("left for later", extra={"why": str(why)})


def left_due(row: JobRequest, why: Exception) -> None:
    """The message did not leave; the timer will send it."""
    logger.warning(
        "not sent, stays due", extra={"job_id": row.id, "job_type": row.job_type, "why": str(why)}
    )


def succeeded(row: JobRequest) -> None:
    """A job has its result."""
    logger.info("succeeded", extra={"run_ms": _run_time(row)})


def attempt_failed(row: JobRequest, error: BaseException) -> None:
    """An attempt ended in an error: the job's, or one that another attempt follows."""
    if row.status is Status.CANCELLED:
        stopped(row)
    elif row.status is Status.FAILED:
        logger.error("failed", exc_info=error, extra={"run_ms": _run_time(row)})
    else:
        will_retry(error, ((row.run_at or 0) - clock.now()) / clock.SECOND)


def will_retry(error: BaseException, delay: float) -> None:
    """Another attempt follows, in so many seconds."""
    logger.warning("attempt failed, will retry", exc_info=error, extra={"delay_s": round(delay, 1)})


def stopped(row: JobRequest) -> None:
    """A running job did as its owner had asked."""
    logger.info("cancelled", extra={"run_ms": _run_time(row)})


def held_back(row: JobRequest, brake: Brake) -> None:
    """A job that could run does not: what it belongs to is paused."""
    logger.info("held back", extra={"paused": f"{brake.kind} {brake.name}", "was": str(row.status)})


def leg_over(row: JobRequest) -> None:
    """The invocation ends here; the job goes on in another, unless it was cancelled or paused."""
    logger.info("leg over", extra={"progress": row.progress, "status": str(row.status)})


def not_settled(state: str) -> None:
    """A failure record of a message that no longer has the job: it says nothing about it now."""
    logger.info("failure record ignored", extra={"job_is": state})


def claim_lost(why: BaseException) -> None:
    """Someone else has moved the row on: whatever this invocation found out is void."""
    logger.warning("claim lost, outcome dropped", extra={"why": str(why)})


def settled(row: JobRequest, why: Exception) -> None:
    """A job whose worker can't say how it ended has got its next attempt, or its outcome."""
    fields = {"job_id": row.id, "job_type": row.job_type, "status": str(row.status)}
    write = logger.error if row.status is Status.FAILED else logger.warning
    write("settled", extra=fields | {"why": str(why)})


def task_done(message: TaskMessage) -> None:
    """A task returned."""
    logger.info("task done", extra={"task_name": message.name})


def task_failed(error: BaseException) -> None:
    """A task failed and will not run again. There is no row: this line is its record."""
    logger.error("task failed", exc_info=error)


def crashed(error: BaseException) -> None:
    """Our own machinery failed under a job or task: its row, if any, stays due."""
    logger.error("crashed", exc_info=error)


def _run_time(row: JobRequest) -> int:
    return (row.finished_at or 0) - (row.started_at or 0)
