"""The traceback of an error that work raised: it begins in the work's own code, and names files as
the author of the work knows them."""

import sys
import traceback

from settings import settings

# The packages that call work. What the work calls of them stays in its traceback.
_CALLERS = frozenset({"handlers", "runners", "testing", "work"})
_ROOT = __file__.removesuffix("runners/tracebacks.py")


def begin_at_work(error: BaseException) -> None:
    """Drop the frames that come before the work's own: ours, and those of asyncio and the like. An
    error that no work has raised keeps them all."""
    trace = error.__traceback__
    while trace is not None:
        package = str(trace.tb_frame.f_globals.get("__name__")).partition(".")[0]
        if package not in _CALLERS and package not in sys.stdlib_module_names:
            error.__traceback__ = trace
            return
        trace = trace.tb_next


def formatted(error: BaseException) -> str:
    """Return an error's traceback as text, empty if it has none. Files are named from the folder of
    the checkout that they are from, wherever they were copied to."""
    if error.__traceback__ is None:
        return ""
    text = "".join(traceback.format_exception(error))
    for package in settings().app_packages:
        text = text.replace(_named(package), f'File "{settings().app_source}{package}/')
    return text.replace(_named(""), 'File "')


def _named(package: str) -> str:
    return f'File "{_ROOT}{package and f"{package}/"}'
