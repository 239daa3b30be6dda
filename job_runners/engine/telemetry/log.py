"""Write JSON log lines, with the fields of the current job or task and a location in the code.

A worker process also turns everything that a job or task logs or prints into such lines. To do
that, it replaces the log handlers that Lambda or SAM has set up.
"""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from aws_lambda_powertools import Logger

from job_runners.engine.telemetry import output, tracebacks
from job_runners.settings import service_name, settings
from job_runners.work import context

logger = Logger(service=service_name())

# Libraries whose many messages below WARNING interest only their own developers.
_NOISY = ["asyncio", "boto3", "botocore", "httpcore", "httpx", "pynamodb", "s3transfer", "urllib3"]
_PYTEST_PREFIX = "_pytest."  # pytest's log handlers are in these modules, and tests rely on them


@contextmanager
def with_fields(new_fields: dict[str, Any]) -> Iterator[None]:
    """Add these fields to every line that is logged inside the block."""
    # The legacy runner runs jobs in threads. Powertools' plain context keys would mix their fields.
    logger.thread_safe_append_keys(**new_fields)
    try:
        yield
    finally:
        output.end_lines()
        # Removing keys changes the current dictionary, which threads of the work may still use.
        # Appending nothing first replaces that dictionary with a copy.
        logger.thread_safe_append_keys()
        logger.thread_safe_remove_keys(new_fields)


def write(
    log_method: Callable[..., None], text: str, error: BaseException | None = None, **fields: Any
) -> None:
    """Write a log line with `log_method`, such as `logger.info`.

    The line's `location` is the place in the code that called the calling module. For example, a
    function of `telemetry` calls this, and the location is where that function was called.
    """
    output.end_lines()
    if error is not None and error.__traceback__ is not None:
        fields["exception"] = tracebacks.format_error(error).rstrip()
    # Go up the call stack until the code is in another file than our caller's.
    caller = sys._getframe(1)
    stack_level = 3  # skips Powertools and this function
    skipped_files = (caller.f_code.co_filename, contextmanager.__code__.co_filename)
    while caller.f_back is not None and caller.f_code.co_filename in skipped_files:
        caller = caller.f_back
        stack_level += 1
    log_method(text, exc_info=error, stacklevel=stack_level, extra=fields)


def caller_fields() -> dict[str, Any]:
    """Return the current caller's name and role, and its organization if it has one."""
    author = context.author.get()
    if author is None:
        return {}
    fields = {"caller": author.name, "role": author.role}
    if author.organization_id:
        fields["organization_id"] = author.organization_id
    return fields


def set_up() -> None:
    """Write everything that this process logs or prints as JSON lines. Repeated calls do nothing.

    Call this only in a process that runs nothing but jobs and tasks.
    """
    _redirect_standard_logging(logging.getLogger())
    # Since Python 3.12, records have their asyncio task's name, such as "Task-1", which is noise.
    logging.logAsyncioTasks = False  # type: ignore[attr-defined]
    output.capture(_log_printed_line)
    from job_runners.engine.telemetry import threads  # imported here because only workers need it

    threads.copy_context_to_threads()


def _redirect_standard_logging(root: logging.Logger) -> None:
    """Write the records of Python's `logging` as JSON lines too."""
    for handler in list(root.handlers):
        if not type(handler).__module__.startswith(_PYTEST_PREFIX):
            root.removeHandler(handler)
    root.addHandler(_JsonHandler())
    root.setLevel(settings().log_level)
    for name in _NOISY:
        library = logging.getLogger(name)
        if library.level == logging.NOTSET:
            library.setLevel(max(logging.WARNING, root.level))


class _JsonHandler(logging.Handler):
    """Passes records to our logger's handler, which writes JSON lines with the current fields."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record, unless a Powertools logger has already written it."""
        if not _is_from_powertools(record):
            if record.exc_info and record.exc_info[1] is not None:
                record.exception = tracebacks.format_error(record.exc_info[1]).rstrip()
            logger.handlers[0].handle(record)

    def addFilter(self, filter: object) -> None:  # noqa: N802 - logging's own name
        """Ignore Powertools' filters.

        Each Powertools logger adds a filter that drops the records of every logger whose name
        contains the service's name. A service named `app` would silence a logger named `happy`.
        """


def _is_from_powertools(record: logging.LogRecord) -> bool:
    """Return whether a Powertools logger, or a child of one, has created a record."""
    current = logging.getLogger(record.name)
    while current.parent is not None:
        if hasattr(current, "powertools_handler"):
            return True
        current = current.parent
    return False


def _log_printed_line(text: str, stream: str, location: output.Location) -> None:
    """Log a printed line, regardless of the log level."""
    record = logger._logger.makeRecord(
        logger.name,
        logging.INFO,
        location.file,
        location.line,
        "%s",  # Powertools doesn't parse the text as JSON if it is an argument
        (text,),
        None,
        location.function,
        {"stream": stream},
    )
    logger.handlers[0].handle(record)
