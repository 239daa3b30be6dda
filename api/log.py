"""What is logged about requests. No bodies, no query values, no paths: their ids are data too.
Each line names who asked, so that an access can be traced."""

from runners.log_line import logger, who
from work import context


def answered(method: str, route: str, status: int, milliseconds: float) -> None:
    """Log the one line of each request. `route` is a path of the API, with names for ids."""
    logger.info(
        "answered",
        extra={
            # Work done in this process has its own request_id field, and takes it away after.
            "request_id": context.request_id.get(),
            "method": method,
            "route": route,
            "status": status,
            "ms": round(milliseconds, 1),
            **who(),
        },
    )


def task_accepted(task_name: str, task_id: str | None) -> None:
    """Log that a task was sent. The lines of its attempts carry the same ids."""
    logger.info(
        "task accepted",
        extra={
            "request_id": context.request_id.get(),
            "task_name": task_name,
            **({"task_id": task_id} if task_id else {}),
            **who(),
        },
    )


def task_redriven(task_id: str, task_name: str, redriven_as: str) -> None:
    """Log that a failed task was sent again, and under which id."""
    logger.info(
        "task redriven",
        extra={
            "request_id": context.request_id.get(),
            "task_name": task_name,
            "task_id": redriven_as,
            "redrives": task_id,
            **who(),
        },
    )


def went_wrong(error: Exception, status: int) -> None:
    """Log an error that is not the request's fault. A 500 is a defect, or a stack that is set up
    wrongly."""
    logger.error(
        "went wrong",
        exc_info=error,
        extra={"request_id": context.request_id.get(), "status": status},
    )
