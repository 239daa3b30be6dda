"""Shorten the log in tests of your own jobs: each line appears once, and no traceback twice."""

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
    before = handler.level
    handler.setLevel(logging.CRITICAL + 1)
    logger.addFilter(_shorten)
    try:
        yield
    finally:
        logger.removeFilter(_shorten)
        handler.setLevel(before)


def _shorten(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    if record.msg == "failed" and error is not None:
        place = tracebacks.format_error(error).rpartition('  File "')[2].partition("\n")[0]
        record.msg = "failed: %s: %s (%s)"
        record.args = (type(error).__name__, error, place.replace('", line ', ":"))
        record.exc_info = None
    return True
