"""The Job Runner API: whoever dispatches work does it by `dispatch_job` and `dispatch_task`.

They hand it to the runner that JOB_RUNNER names.
"""

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from errors import JobRunnersError
from runners.app_modules import import_added
from runners.errors import IncompleteRunner, RunnerNotConfigured, UnknownRunner
from settings import settings

if TYPE_CHECKING:
    from runners.base import JobData, JobRunner
    from runners.sending import Send
    from store.job_request import JobRequest

__all__ = ["JobData", "dispatch_job", "dispatch_task", "get_job_runner", "sender"]

_SHIPPED = {"legacy": "runners.legacy", "lambda-async": "runners.lambda_async"}
_EXPORTS = ("fully_configured", "dispatch_job", "dispatch_task")


def dispatch_job(job_data: "JobData") -> "JobRequest":
    """Save the job, then send it; return the saved row.

    A job that could not be sent now is due, and is sent later. Raises UnknownJobType,
    InvalidPayload, and what `get_job_runner` raises.
    """
    return get_job_runner().dispatch_job(job_data)


def dispatch_task(task_name: str, payload: Any) -> None:
    """Send the task. Raises UnknownTask, InvalidPayload, PayloadTooLarge, what `get_job_runner`
    raises, and SendFailed when it did not leave: nothing holds it."""
    get_job_runner().dispatch_task(task_name, payload)


@cache
def get_job_runner() -> "JobRunner":
    """Return the runner that JOB_RUNNER names, ready to use.

    Raises UnknownRunner, IncompleteRunner or RunnerNotConfigured, each saying what is missing: call
    it at start, so that a process that can't work never takes work.
    """
    name = settings().job_runner
    if name not in _SHIPPED and "." not in name:
        raise UnknownRunner(name, _SHIPPED, "no runner of that name ships here")
    try:
        module = import_added(_SHIPPED.get(name, name))
    except ImportError as error:
        raise UnknownRunner(name, _SHIPPED, f"its module can't be imported ({error})") from error
    missing = [export for export in _EXPORTS if not callable(getattr(module, export, None))]
    if missing:
        raise IncompleteRunner(name, missing)
    runner = cast("JobRunner", module)
    try:
        configured = runner.fully_configured()
    except JobRunnersError as error:
        raise RunnerNotConfigured(name, str(error)) from error
    if not configured:
        raise RunnerNotConfigured(name, "its fully_configured() returned False")
    return runner


def sender() -> "Send | None":
    """Return how the runner sends without saving; None if it can't."""
    return cast("Send | None", getattr(get_job_runner(), "send", None))


if not TYPE_CHECKING:  # or a type checker would take any name for one of these

    def __getattr__(name: str) -> object:
        """Return JobData at its first use (PEP 562): its imports are half of a cold start."""
        if name != "JobData":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = import_module("runners.base").JobData
        return value
