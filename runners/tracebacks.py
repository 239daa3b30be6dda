"""Shorten the traceback of an error that work raised.

The shortened traceback begins in the work's own code, with file names as the work's author knows
them.
"""

import sys
import traceback

from settings import settings

# The packages that call work. Their frames are dropped only at the beginning of a traceback.
_CALLERS = frozenset({"handlers", "runners", "testing", "work"})
_ROOT = __file__.removesuffix("runners/tracebacks.py")


def begin_at_work(error: BaseException) -> None:
    """Drop the frames before the work's own: ours, and those of the standard library.

    A traceback without a frame of the work's code keeps all its frames.
    """
    trace = error.__traceback__
    while trace is not None:
        package = str(trace.tb_frame.f_globals.get("__name__")).partition(".")[0]
        if package not in _CALLERS and package not in sys.stdlib_module_names:
            error.__traceback__ = trace
            return
        trace = trace.tb_next


def formatted(error: BaseException) -> str:
    """Return an error's traceback as text, or "" if the error has none.

    File names begin at the folder of their checkout, even if the files were copied elsewhere.
    """
    if error.__traceback__ is None:
        return ""
    text = "".join(traceback.format_exception(error))
    for package in settings().app_packages:
        text = text.replace(_named(package), f'File "{settings().app_source}{package}/')
    return text.replace(_named(""), 'File "')


def _named(package: str) -> str:
    return f'File "{_ROOT}{package and f"{package}/"}'
