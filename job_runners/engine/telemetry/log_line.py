"""Write log lines with the fields of the current work and a location in the code."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from job_runners.engine.telemetry import output, tracebacks
from job_runners.engine.telemetry.log_setup import (
    logger as logger,  # other modules import it from here
)
from job_runners.work import context


@contextmanager
def fields(given: dict[str, Any]) -> Iterator[None]:
    """Add these fields to every line that is logged inside the block."""
    # The legacy runner runs jobs in threads. Powertools' plain context keys would mix their fields.
    logger.thread_safe_append_keys(**given)
    try:
        yield
    finally:
        output.end_lines()
        # Powertools removes keys from the current dictionary, which a thread that the work started
        # may still use. So the first of these calls replaces the dictionary with a copy.
        logger.thread_safe_append_keys()
        logger.thread_safe_remove_keys(given)


def write(
    to: Callable[..., None], text: str, error: BaseException | None = None, **fields: Any
) -> None:
    """Write a log line. Its `location` is the nearest caller outside the module that calls this."""
    output.end_lines()
    if error is not None and error.__traceback__ is not None:
        fields["exception"] = tracebacks.formatted(error).rstrip()
    caller, level = sys._getframe(1), 3  # skip Powertools and this function
    inside = (caller.f_code.co_filename, contextmanager.__code__.co_filename)
    while caller.f_back is not None and caller.f_code.co_filename in inside:
        caller, level = caller.f_back, level + 1
    to(text, exc_info=error, stacklevel=level, extra=fields)


def caller_fields() -> dict[str, Any]:
    """Return the log fields of the current caller.

    They are the caller's name and role, and its organization if it belongs to one.
    """
    author = context.author.get()
    if author is None:
        return {}
    organization = {"organization_id": author.organization_id} if author.organization_id else {}
    return {"caller": author.name, "role": author.role, **organization}
