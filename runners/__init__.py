"""The Job Runner API: `get_job_runner()` is the one way to dispatch work, whoever does it."""

from functools import cache
from importlib import import_module
from typing import cast

from errors import IncompleteRunner, JobRunnersError, RunnerNotConfigured, UnknownRunner
from runners.base import JobRunner
from runners.sending import Send
from settings import settings

_SHIPPED = {"legacy": "runners.legacy", "lambda-async": "runners.lambda_async"}
_EXPORTS = ("fully_configured", "dispatch_job", "dispatch_task")


@cache
def get_job_runner() -> JobRunner:
    """The runner that JOB_RUNNER names, ready to use.

    Raises UnknownRunner, IncompleteRunner or RunnerNotConfigured, each saying what is missing: call
    it at start, so that a process that can't work never takes work.
    """
    name = settings().job_runner
    if name not in _SHIPPED and "." not in name:
        raise UnknownRunner(name, _SHIPPED, "no runner of that name ships here")
    try:
        module = import_module(_SHIPPED.get(name, name))
    except ImportError as error:
        raise UnknownRunner(name, _SHIPPED, f"its module can't be imported ({error})") from error
    missing = [export for export in _EXPORTS if not callable(getattr(module, export, None))]
    if missing:
        raise IncompleteRunner(name, missing)
    runner = cast(JobRunner, module)
    try:
        configured = runner.fully_configured()
    except JobRunnersError as error:
        raise RunnerNotConfigured(name, str(error)) from error
    if not configured:
        raise RunnerNotConfigured(name, "its fully_configured() returned False")
    return runner


def sender() -> Send | None:
    """How the runner sends without saving; None if it can't."""
    return cast(Send | None, getattr(get_job_runner(), "send", None))
