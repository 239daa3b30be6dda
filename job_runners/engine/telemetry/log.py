"""Write JSON log lines, with the fields of the current job or task and a location in the code.

In a process that runs work, everything that the work logs or prints becomes such a line. This
replaces the log handlers that Lambda or SAM has set up.
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

# Libraries that log many messages below WARNING, which interest only their own developers.
_LIBS = ["asyncio", "boto3", "botocore", "httpcore", "httpx", "pynamodb", "s3transfer", "urllib3"]
_PYTEST = "_pytest."  # the module prefix of pytest's handlers, which tests rely on


@contextmanager
def fields(new_fields: dict[str, Any]) -> Iterator[None]:
    """Add these fields to every line that is logged inside the block."""
    # The legacy runner runs jobs in threads. Powertools' plain context keys would mix their fields.
    logger.thread_safe_append_keys(**new_fields)
    try:
        yield
    finally:
        output.end_lines()
        # Powertools removes keys from the current dictionary, which a thread that the work started
        # may still use. So the first of these calls replaces the dictionary with a copy.
        logger.thread_safe_append_keys()
        logger.thread_safe_remove_keys(new_fields)


def write(
    log_method: Callable[..., None], text: str, error: BaseException | None = None, **fields: Any
) -> None:
    """Write a log line with a method of the logger, which determines the level.

    Its `location` is the nearest caller outside the module that calls this.
    """
    output.end_lines()
    if error is not None and error.__traceback__ is not None:
        fields["exception"] = tracebacks.format_error(error).rstrip()
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
    """Write all logs and output of this process in our form. Further calls change nothing.

    Call this only in a process that runs nothing but our work.
    """
    _redirect_standard_logging(logging.getLogger())
    # Since Python 3.12 a record has the name of its asyncio task, such as "Task-1", which is of no
    # use to readers.
    logging.logAsyncioTasks = False  # type: ignore[attr-defined]
    output.capture(_log_printed_line)
    from job_runners.engine.telemetry import threads  # imported here because only workers need it

    threads.copy_context_to_threads()


def _redirect_standard_logging(root: logging.Logger) -> None:
    """Write records of Python's `logging` in the form of our own lines."""
    for handler in [*root.handlers]:
        if not type(handler).__module__.startswith(_PYTEST):
            root.removeHandler(handler)
    root.addHandler(_OurHandler())
    root.setLevel(settings().log_level)
    for name in _LIBS:
        library = logging.getLogger(name)
        if library.level == logging.NOTSET:
            library.setLevel(max(logging.WARNING, root.level))


class _OurHandler(logging.Handler):
    """Passes a record to our logger's handler, which writes it as JSON with the current fields."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record, unless a Powertools logger has already written it."""
        if not _is_from_powertools(record):
            if record.exc_info and record.exc_info[1] is not None:
                record.exception = tracebacks.format_error(record.exc_info[1]).rstrip()
            logger.handlers[0].handle(record)

    def addFilter(self, filter: object) -> None:  # noqa: N802 - logging's own name
        """Ignore Powertools' filters.

        Each Powertools logger adds a filter, which drops the records of any logger whose name
        contains the service's name. With a service named `app`, it would drop those of a logger
        named `happy`.
        """


def _is_from_powertools(record: logging.LogRecord) -> bool:
    """Return whether a Powertools logger, or a child of one, has created a record."""
    source = logging.getLogger(record.name)
    while source.parent is not None:
        if hasattr(source, "powertools_handler"):
            return True
        source = source.parent
    return False


def _log_printed_line(text: str, stream: str, location: output.Location) -> None:
    """Log a printed line, whatever the log level is."""
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
