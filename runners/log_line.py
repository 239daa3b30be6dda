"""How a line is logged: the fields that it carries, and the place in the code that it is of."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from runners import output, tracebacks
from runners.log_setup import logger as logger  # others log by it, too
from work import context


@contextmanager
def fields(given: dict[str, Any]) -> Iterator[None]:
    """Give every line that is logged inside these fields."""
    # The legacy runner works in threads: Powertools' plain context keys would mix their lines.
    logger.thread_safe_append_keys(**given)
    try:
        yield
    finally:
        output.end_lines()
        # Powertools takes keys out of the dictionary at hand, which a thread that the work has
        # started has too, and goes on with: this makes a new one first.
        logger.thread_safe_append_keys()
        logger.thread_safe_remove_keys(given)


def write(
    to: Callable[..., None], text: str, error: BaseException | None = None, **fields: Any
) -> None:
    """Write a line whose `location` is the function that called the module that calls this."""
    output.end_lines()
    if error is not None and error.__traceback__ is not None:
        fields["exception"] = tracebacks.formatted(error).rstrip()
    caller, level = sys._getframe(1), 3  # above Powertools and this function
    inside = (caller.f_code.co_filename, contextmanager.__code__.co_filename)
    while caller.f_back is not None and caller.f_code.co_filename in inside:
        caller, level = caller.f_back, level + 1
    to(text, exc_info=error, stacklevel=level, extra=fields)


def who() -> dict[str, Any]:
    """Return the fields of a line about what somebody asked for: who did, in which role, and for
    which organisation, if the caller is bound to one."""
    author = context.author.get()
    if author is None:
        return {}
    bound = {"organization_id": author.organization_id} if author.organization_id else {}
    return {"caller": author.name, "role": author.role, **bound}
