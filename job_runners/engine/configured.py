"""Load the runner that JOB_RUNNER names, and check its functions.

A *runner* is a module with functions that send jobs and tasks to workers.
"""

from functools import cache
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

from job_runners.engine.registry.app_modules import import_app_module
from job_runners.engine.registry.errors import IncompleteRunner, RunnerNotConfigured, UnknownRunner
from job_runners.errors import JobRunnersError
from job_runners.settings import settings

if TYPE_CHECKING:
    from job_runners.engine.job_data import JobData
    from job_runners.engine.wire.sending import Accepted, Send

_BUILT_IN_RUNNERS = {
    "legacy": "job_runners.runners.legacy",
    "lambda-async": "job_runners.runners.lambda_async",
}
_EXPORTS = ("fully_configured", "dispatch_job", "dispatch_task")


@runtime_checkable
class JobRunner(Protocol):
    """The functions that every runner's module must have."""

    def fully_configured(self) -> bool:
        """Return True if this runner has everything that it needs.

        Otherwise return False, or raise an error that says what is missing.
        """

    def dispatch_job(self, job_data: "JobData") -> "Accepted":
        """Save the job, then send it. Return the new job, or an existing one.

        If the job can't be sent now, the timer sends it later. Raises UnknownJobType and
        InvalidPayload.
        """

    def dispatch_task(self, task_name: str, payload: Any) -> str | None:
        """Send the task. Return the id under which it is logged, or None if it has none.

        Raises UnknownTask, InvalidPayload and PayloadTooLarge. Raises SendFailed if the task wasn't
        sent. It isn't sent later either, because tasks aren't stored.
        """


@cache
def get_job_runner() -> JobRunner:
    """Return the runner that JOB_RUNNER names, ready for use.

    Call this when a process starts, so that a process with a broken runner never takes work. Raises
    UnknownRunner, IncompleteRunner or RunnerNotConfigured.
    """
    name = settings().job_runner
    if name not in _BUILT_IN_RUNNERS and "." not in name:
        raise UnknownRunner(name, _BUILT_IN_RUNNERS, "there is no built-in runner with that name")
    try:
        module = import_app_module(_BUILT_IN_RUNNERS.get(name, name))
    except ImportError as error:
        reason = f"its module can't be imported ({error})"
        raise UnknownRunner(name, _BUILT_IN_RUNNERS, reason) from error
    missing = [export for export in _EXPORTS if not callable(getattr(module, export, None))]
    if missing:
        raise IncompleteRunner(name, missing)
    runner = cast(JobRunner, module)
    try:
        is_configured = runner.fully_configured()
    except JobRunnersError as error:
        raise RunnerNotConfigured(name, str(error)) from error
    if not is_configured:
        raise RunnerNotConfigured(name, "its fully_configured() returned False")
    return runner


@cache
def sender() -> "Send":
    """Return the runner's `send`, which sends a message, or CANNOT_SEND if it has none."""
    from job_runners.engine.wire.sending import CANNOT_SEND

    return cast("Send", getattr(get_job_runner(), "send", CANNOT_SEND))
