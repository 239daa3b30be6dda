"""A runner that checks tasks but doesn't send them, to measure only the routing of the API."""

from typing import Any

from job_runners.engine.dispatch import dispatch
from job_runners.runners.base import JobData
from job_runners.store.job_request import JobRequest


def fully_configured() -> bool:
    """Return True, because this runner needs no settings."""
    return True


def dispatch_job(job_data: JobData) -> JobRequest:
    """Refuse the job, because this runner is only for tasks."""
    raise NotImplementedError(f"{job_data.job_type}: this runner accepts only tasks")


def dispatch_task(task_name: str, payload: Any) -> None:
    """Check the task without sending it."""
    dispatch.accept_task(task_name, payload)
