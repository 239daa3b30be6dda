"""Set up the log of a process that runs work.

All logs and output of work become lines of JSON with the fields of the current job or task. This
replaces the log handlers that Lambda or SAM has set up.
"""

import logging

from aws_lambda_powertools import Logger

from job_runners.engine.telemetry import output, threads, tracebacks
from job_runners.settings import service_name, settings

logger = Logger(service=service_name())

# Libraries that log many messages below WARNING, which interest only their own developers.
_LIBRARIES = (
    *("asyncio", "boto3", "botocore", "httpcore", "httpx", "pynamodb", "s3transfer", "urllib3"),
)
_PYTEST = "_pytest."  # its handlers show a test what was logged


def set_up() -> None:
    """Take over all logs and output of this process. Further calls change nothing.

    Call this only in a process that runs nothing but our work.
    """
    _take_standard_logging(logging.getLogger())
    # Since Python 3.12 a record names its asyncio task, such as "Task-1", which doesn't help a
    # reader.
    logging.logAsyncioTasks = False  # type: ignore[attr-defined]
    output.capture(_record_printed)
    threads.copy_context_to_threads()


def _take_standard_logging(root: logging.Logger) -> None:
    """Write records of Python's `logging` in the form of our own lines."""
    for handler in [*root.handlers]:
        if not type(handler).__module__.startswith(_PYTEST):
            root.removeHandler(handler)
    root.addHandler(_OurHandler())
    root.setLevel(settings().log_level)
    for name in _LIBRARIES:
        library = logging.getLogger(name)
        if library.level == logging.NOTSET:
            library.setLevel(max(logging.WARNING, root.level))


class _OurHandler(logging.Handler):
    """Passes a record to our logger's handler, which writes it as JSON with the current fields."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record, unless a Powertools logger has already written it."""
        if not _is_written(record):
            if record.exc_info and record.exc_info[1] is not None:
                record.exception = tracebacks.formatted(record.exc_info[1]).rstrip()
            logger.handlers[0].handle(record)

    def addFilter(self, filter: object) -> None:  # noqa: N802 - logging's own name
        """Ignore Powertools' filters.

        Each Powertools logger adds a filter, which drops the records of any logger whose name
        contains the service's name. With a service `app`, that includes a logger `happy`.
        """


def _is_written(record: logging.LogRecord) -> bool:
    source = logging.getLogger(record.name)
    while source.parent is not None:
        if hasattr(source, "powertools_handler"):
            return True
        source = source.parent
    return False


def _record_printed(text: str, stream: str, location: output.Location) -> None:
    """Log a printed line, at every log level."""
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
