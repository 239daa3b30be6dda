"""Log requests, each with its caller. Bodies, query values and paths are not logged, because they
are customers' data."""

from job_runners.engine.telemetry.log_line import caller_fields, logger
from job_runners.work import context


def answered(method: str, route: str, status: int, milliseconds: float) -> None:
    """Log a request. `route` is the path with parameter names instead of ids."""
    logger.info(
        "answered",
        extra={
            # The logger's own request_id may be gone: work that runs in this process replaces and
            # removes it.
            "request_id": context.request_id.get(),
            "method": method,
            "route": route,
            "status": status,
            "ms": round(milliseconds, 1),
            **caller_fields(),
        },
    )


def task_accepted(task_name: str, task_id: str | None) -> None:
    """Log that a task was sent. The log lines of its attempts have the same ids."""
    logger.info(
        "task accepted",
        extra={
            "request_id": context.request_id.get(),
            "task_name": task_name,
            **({"task_id": task_id} if task_id else {}),
            **caller_fields(),
        },
    )


def task_redriven(task_id: str, task_name: str, redriven_as: str) -> None:
    """Log that a failed task was resent, with its new id."""
    logger.info(
        "task redriven",
        extra={
            "request_id": context.request_id.get(),
            "task_name": task_name,
            "task_id": redriven_as,
            "redrives": task_id,
            **caller_fields(),
        },
    )


def went_wrong(error: Exception, status: int) -> None:
    """Log an error that the request didn't cause. The status 500 means a defect, or a stack that is
    configured wrongly."""
    logger.error(
        "went wrong",
        exc_info=error,
        extra={"request_id": context.request_id.get(), "status": status},
    )
