"""What is logged about requests. No bodies, no query values, no paths: ids in them are data too."""

from runners.log import logger
from work import context


def answered(route: str, status: int, milliseconds: float) -> None:
    """The one line that each request leaves."""
    logger.info(
        "answered",
        extra={**_request(), "route": route, "status": status, "ms": round(milliseconds, 1)},
    )


def unexpected(error: Exception) -> None:
    """A defect, or a stack that is set up wrongly: somebody has to look."""
    logger.error("unexpected error", exc_info=error, extra=_request())


def unavailable(error: Exception) -> None:
    """AWS did not do its part this time; the caller was told to try again."""
    logger.warning("unavailable", exc_info=error, extra=_request())


def _request() -> dict[str, str | None]:
    return {"request_id": context.request_id.get()}
