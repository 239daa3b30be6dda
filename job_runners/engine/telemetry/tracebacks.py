"""Shorten the traceback of an error that a job or task raised.

The shortened traceback begins in the work's own code, with file names as the author of the work
knows them.
"""

import sys
import traceback

from job_runners.settings import settings

# The packages that call work. Their frames are dropped only at the beginning of a traceback.
_CALLERS = tuple(
    f"job_runners.{package}."
    for package in ("django", "engine", "handlers", "runners", "testing", "work")
)
_SHIPPED = "job_runners.shipped"
_ROOT = __file__.removesuffix("job_runners/engine/telemetry/tracebacks.py")


def begin_at_work(error: BaseException) -> None:
    """Drop our frames and the standard library's before the first frame of the work's code.

    If the work's code has no frame in the traceback, keep all frames.
    """
    trace = error.__traceback__
    while trace is not None:
        module = str(trace.tb_frame.f_globals.get("__name__"))
        is_standard = module.partition(".")[0] in sys.stdlib_module_names
        if not is_standard and not f"{module}.".startswith(_CALLERS):
            error.__traceback__ = trace
            return
        trace = trace.tb_next


def work_frame(error: BaseException) -> str | None:
    """Return the innermost function of the work's own code in an error's traceback.

    It is written as module:function. Without a line number, it stays the same when other parts of
    the file change. The work's own code is the package of the first frame, and the app's packages.
    Call `begin_at_work` first. Return None if the work's code has no frame.
    """
    work_packages: set[str] = set()
    innermost = None
    trace = error.__traceback__
    while trace is not None:
        module = str(trace.tb_frame.f_globals.get("__name__"))
        package = _package_of_work(module)
        if package is not None:
            if not work_packages:
                work_packages = {package, *map(_top_package, settings().app_packages)}
            if package in work_packages:
                innermost = f"{module}:{trace.tb_frame.f_code.co_qualname}"
        trace = trace.tb_next
    return innermost


def _package_of_work(module: str) -> str | None:
    """Return the package of a module, or None if the module is ours or the standard library's.

    The built-in jobs are work like any other.
    """
    top = _top_package(module)
    if top == "job_runners":
        return _SHIPPED if f"{module}.".startswith(f"{_SHIPPED}.") else None
    return None if top in sys.stdlib_module_names else top


def _top_package(module: str) -> str:
    return module.partition(".")[0]


def format_error(error: BaseException) -> str:
    """Return an error's traceback as text, or "" if the error has none.

    File names are relative to the checkout or to the project, even if the files were copied
    elsewhere.
    """
    if error.__traceback__ is None:
        return ""
    text = "".join(traceback.format_exception(error))
    if settings().app_folder is not None:
        text = text.replace(f'File "{settings().app_folder}/', 'File "')
    return text.replace(f'File "{_ROOT}', 'File "')
