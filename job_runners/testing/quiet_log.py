"""Shorten the log in tests of your own jobs, so that no line and no traceback appears twice."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from job_runners.engine.telemetry import tracebacks
from job_runners.engine.telemetry.log import logger


@contextmanager
def quiet_log() -> Iterator[None]:
    """Print no JSON lines in the block, because pytest shows the same lines.

    The line about a failed job names the error and its location. `assert_succeeded` shows the
    traceback.
    """
    [handler] = logger.handlers
    original_level = handler.level
    handler.setLevel(logging.CRITICAL + 1)
    logger.addFilter(_shorten)
    try:
        yield
    finally:
        logger.removeFilter(_shorten)
        handler.setLevel(original_level)


def _shorten(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    if record.msg == "failed" and error is not None:
        # The last frame's line is: File "path", line 12, in function
        _, _, last_frame = tracebacks.format_error(error).rpartition('  File "')
        location, _, _ = last_frame.partition("\n")
        record.msg = "failed: %s: %s (%s)"
        record.args = (type(error).__name__, error, location.replace('", line ', ":"))
        record.exc_info = None
    return True
