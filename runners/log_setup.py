"""Sets up the log of a process that does work: everything that work logs or prints comes out as one
line of JSON, with the fields of the job or task at hand.

Whatever the process was given: Lambda's own handler, SAM's, or none at all as on the local AWS.
"""

import logging

from aws_lambda_powertools import Logger

from runners import output, threads, tracebacks
from settings import settings

logger = Logger()

# What they say below WARNING is about themselves, and there is much of it.
_LIBRARIES = (
    *("asyncio", "boto3", "botocore", "httpcore", "httpx", "pynamodb", "s3transfer", "urllib3"),
)
_TESTS_OWN = "_pytest."  # its handlers show a test what was logged


def set_up() -> None:
    """Take over what is logged and printed in this process, which must be ours alone. Calling this
    again changes nothing."""
    _take_standard_logging(logging.getLogger())
    # Since Python 3.12 a record names the asyncio task, "Task-1" say, which tells nobody anything.
    logging.logAsyncioTasks = False  # type: ignore[attr-defined]
    output.capture(_record_printed)
    threads.hand_on_context()


def _take_standard_logging(root: logging.Logger) -> None:
    """Give what is logged through Python's `logging` the form of our own lines."""
    for handler in [*root.handlers]:
        if not type(handler).__module__.startswith(_TESTS_OWN):
            root.removeHandler(handler)
    root.addHandler(_Ours())
    root.setLevel(settings().log_level)
    for name in _LIBRARIES:
        library = logging.getLogger(name)
        if library.level == logging.NOTSET:
            library.setLevel(max(logging.WARNING, root.level))


class _Ours(logging.Handler):
    """Hands a record to our logger's handler, which writes it as JSON with the fields at hand."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record, unless a logger of Powertools on its way here has done so."""
        if not _is_written(record):
            if record.exc_info and record.exc_info[1] is not None:
                record.exception = tracebacks.formatted(record.exc_info[1]).rstrip()
            logger.handlers[0].handle(record)

    def addFilter(self, filter: object) -> None:  # noqa: N802 - as logging has it
        """Do without a filter of Powertools'. Each logger of its own adds one that drops whatever
        comes from a logger whose name has the service's in it: with a service `app`, from
        `happy`."""


def _is_written(record: logging.LogRecord) -> bool:
    source = logging.getLogger(record.name)
    while source.parent is not None:
        if hasattr(source, "powertools_handler"):
            return True
        source = source.parent
    return False


def _record_printed(text: str, stream: str, place: output.Place) -> None:
    """Log a line that was printed, whatever the level from which lines are kept."""
    record = logger._logger.makeRecord(
        logger.name,
        logging.INFO,
        place.file,
        place.line,
        "%s",  # as an argument, the text is not taken for JSON
        (text,),
        None,
        place.function,
        {"stream": stream},
    )
    logger.handlers[0].handle(record)
