"""Checks what is dispatched and sends it nowhere: what is left is the routing of the API."""

from typing import Any

from runners import dispatch
from runners.base import JobData
from store.job_request import JobRequest


def fully_configured() -> bool:
    """Return that nothing is missing."""
    return True


def dispatch_job(job_data: JobData) -> JobRequest:
    """Refuse: no job is dispatched here."""
    raise NotImplementedError(f"{job_data.job_type}: tasks alone are measured here")


def dispatch_task(task_name: str, payload: Any) -> None:
    """Check the task."""
    dispatch.accept_task(task_name, payload)
