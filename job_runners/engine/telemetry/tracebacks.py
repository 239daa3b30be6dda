"""Shorten the traceback of an error that a job or task raised.

The shortened traceback begins with the code of the job or task, and its file names are relative to
the project. *Our* code is Job Runners, without the built-in jobs.
"""

import sys
import traceback

from job_runners.settings import settings

# The packages through which Job Runners calls the function of a job or task.
_OUR_PACKAGES = tuple(
    f"job_runners.{package}."
    for package in ("django", "engine", "handlers", "runners", "testing", "work")
)
_BUILT_IN_JOBS = "job_runners.shipped"
_ROOT = __file__.removesuffix("job_runners/engine/telemetry/tracebacks.py")


def drop_our_frames(error: BaseException) -> None:
    """Drop our frames and the standard library's from the beginning of an error's traceback.

    If it has no other frames, keep them all.
    """
    trace = error.__traceback__
    while trace is not None:
        module = str(trace.tb_frame.f_globals.get("__name__"))
        is_standard = _top_package(module) in sys.stdlib_module_names
        if not is_standard and not f"{module}.".startswith(_OUR_PACKAGES):
            error.__traceback__ = trace
            return
        trace = trace.tb_next


def work_frame(error: BaseException) -> str | None:
    """Return the function, as "module:function", in which the job's or task's own code failed.

    This is the innermost frame of the traceback in the work's own packages: the package of the
    first frame that `_work_package` accepts, and the app's packages. Return None if there is no
    such frame. The result has no line number, so that it stays the same when other parts of the
    file change. Call `drop_our_frames` first.
    """
    work_packages: set[str] = set()
    innermost = None
    trace = error.__traceback__
    while trace is not None:
        module = str(trace.tb_frame.f_globals.get("__name__"))
        package = _work_package(module)
        if package is not None:
            if not work_packages:
                work_packages = {package, *map(_top_package, settings().app_packages)}
            if package in work_packages:
                innermost = f"{module}:{trace.tb_frame.f_code.co_qualname}"
        trace = trace.tb_next
    return innermost


def _work_package(module: str) -> str | None:
    """Return a module's package, or None if the module is ours or the standard library's."""
    package = _top_package(module)
    if package == "job_runners":
        is_built_in_job = f"{module}.".startswith(f"{_BUILT_IN_JOBS}.")
        return _BUILT_IN_JOBS if is_built_in_job else None
    return None if package in sys.stdlib_module_names else package


def _top_package(module: str) -> str:
    return module.partition(".")[0]


def format_error(error: BaseException) -> str:
    """Return an error's traceback as text, or "" if the error has none.

    File names are relative to the project or to the checkout of Job Runners.
    """
    if error.__traceback__ is None:
        return ""
    text = "".join(traceback.format_exception(error))
    if settings().app_folder is not None:
        text = text.replace(f'File "{settings().app_folder}/', 'File "')
    return text.replace(f'File "{_ROOT}', 'File "')
