"""What is logged about requests. No bodies, no query values, no paths: their ids are data too."""

from runners.log import logger
from work import context


def answered(method: str, route: str, status: int, milliseconds: float) -> None:
    """The one line that each request leaves. `route` is a path of the API, with names for ids."""
    logger.info(
        "answered",
        extra={
            # Work done in this process has its own request_id field, and takes it away after.
            "request_id": context.request_id.get(),
            "method": method,
            "route": route,
            "status": status,
            "ms": round(milliseconds, 1),
        },
    )


def went_wrong(error: Exception, status: int) -> None:
    """The request was not at fault. A 500 is a defect, or a stack that is set up wrongly."""
    logger.error(
        "went wrong",
        exc_info=error,
        extra={"request_id": context.request_id.get(), "status": status},
    )
