"""Shorten the log in tests of your own jobs, so that pytest shows nothing twice."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from job_runners.engine.telemetry import tracebacks
from job_runners.engine.telemetry.log import logger


@contextmanager
def quiet_log() -> Iterator[None]:
    """Print no JSON lines, because pytest shows the log, and log no traceback of a failed job.

    `assert_succeeded` shows the traceback. The log has the error and its location instead.
    """
    [handler] = logger.handlers
    original_level = handler.level
    handler.setLevel(logging.CRITICAL + 1)
    logger.addFilter(_shorten_failure)
    try:
        yield
    finally:
        logger.removeFilter(_shorten_failure)
        handler.setLevel(original_level)


def _shorten_failure(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    if record.msg == "failed" and error is not None:
        # A frame begins with: File "path", line 12, in function
        _, _, last_frame = tracebacks.format_error(error).rpartition('  File "')
        location, _, _ = last_frame.partition("\n")
        record.msg = "failed: %s: %s (%s)"
        record.args = (type(error).__name__, error, location.replace('", line ', ":"))
        record.exc_info = None
    return True  # keep the record
