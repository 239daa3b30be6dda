"""Load the runner that JOB_RUNNER names, and check that it exports the functions it must have."""

from functools import cache
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

from job_runners.engine.registry.app_modules import import_added
from job_runners.engine.registry.errors import IncompleteRunner, RunnerNotConfigured, UnknownRunner
from job_runners.errors import JobRunnersError
from job_runners.settings import settings

if TYPE_CHECKING:
    from job_runners.engine.job_data import JobData
    from job_runners.engine.wire.sending import Accepted, Send

_BUILT_IN = {
    "legacy": "job_runners.runners.legacy",
    "lambda-async": "job_runners.runners.lambda_async",
}
_EXPORTS = ("fully_configured", "dispatch_job", "dispatch_task")


@runtime_checkable
class JobRunner(Protocol):
    """The functions of the module that JOB_RUNNER names. Callers use no others, so that they work
    with every runner."""

    def fully_configured(self) -> bool:
        """Return whether this runner has everything it needs, or raise an error that names what is
        missing."""

    def dispatch_job(self, job_data: "JobData") -> "Accepted":
        """Save the job, then send it. Return the saved row, with how it answers the request.

        If the job can't be sent now, it stays due and is sent later. Raises UnknownJobType and
        InvalidPayload.
        """

    def dispatch_task(self, task_name: str, payload: Any) -> str | None:
        """Send the task. Return the id that its log lines have, or None if the runner has none.

        Raises UnknownTask, InvalidPayload, PayloadTooLarge, and SendFailed if the task was not
        sent. Nothing stores it, so nothing sends it later.
        """


@cache
def get_job_runner() -> JobRunner:
    """Return the runner that JOB_RUNNER names, ready for use.

    Raises UnknownRunner, IncompleteRunner or RunnerNotConfigured, which say what is wrong. Call
    this at the start of a process, so that a process that can't work never takes work.
    """
    name = settings().job_runner
    if name not in _BUILT_IN and "." not in name:
        raise UnknownRunner(name, _BUILT_IN, "there is no built-in runner with that name")
    try:
        module = import_added(_BUILT_IN.get(name, name))
    except ImportError as error:
        raise UnknownRunner(name, _BUILT_IN, f"its module can't be imported ({error})") from error
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


@cache
def sender() -> "Send":
    """Return the runner's function that only sends a message, or CANNOT_SEND if it has none."""
    from job_runners.engine.wire.sending import CANNOT_SEND

    return cast("Send", getattr(get_job_runner(), "send", CANNOT_SEND))
