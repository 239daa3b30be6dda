"""The Job Runner API: `dispatch_job` and `dispatch_task` pass work to the configured runner.

The setting JOB_RUNNER names that runner.
"""

if __name__ == "runners":  # job_runners/runners is a link to this folder
    raise ImportError("Import job_runners.runners, not runners")

from importlib import import_module
from typing import TYPE_CHECKING, Any

from job_runners.engine.configured import get_job_runner as get_job_runner
from job_runners.engine.configured import sender as sender

if TYPE_CHECKING:
    from job_runners.engine.job_data import JobData
    from job_runners.store.job_request import JobRequest

__all__ = ["JobData", "dispatch_job", "dispatch_task"]


def dispatch_job(job_data: "JobData") -> "JobRequest":
    """Save the job, then send it. Return the saved row.

    If the job can't be sent now, it stays due and is sent later. Raises UnknownJobType,
    InvalidPayload, and the errors of `get_job_runner`.
    """
    return get_job_runner().dispatch_job(job_data).row


def dispatch_task(task_name: str, payload: Any) -> str | None:
    """Send the task. Return its id, as in its log lines, or None if the runner returns none.

    Raises UnknownTask, InvalidPayload, PayloadTooLarge, and the errors of `get_job_runner`. Raises
    SendFailed if the task was not sent. It isn't sent later either, because tasks aren't stored.
    """
    return get_job_runner().dispatch_task(task_name, payload)


if not TYPE_CHECKING:  # otherwise a type checker would accept any name in this module

    def __getattr__(name: str) -> object:
        """Import JobData on first use, because its import takes half of a cold start."""
        if name != "JobData":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        job_data = import_module("job_runners.engine.job_data").JobData
        globals()[name] = job_data  # so that Python finds it without this function
        return job_data
