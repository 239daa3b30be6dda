"""Log tasks that requests send, and unexpected errors. The router logs the requests themselves."""

from job_runners.engine.telemetry.log import caller_fields, logger
from job_runners.work import context


def task_accepted(task_name: str, task_id: str | None) -> None:
    """Log that a task was sent. The log lines of its attempts have the same request and task
    ids."""
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
    """Log that a failed task was resent under a new id, `redriven_as`."""
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


def server_error(error: Exception, status: int) -> None:
    """Log an error that isn't the caller's fault. The status 500 means a bug or a wrong setting of
    the stack."""
    logger.error(
        "went wrong",
        exc_info=error,
        extra={"request_id": context.request_id.get(), "status": status},
    )
