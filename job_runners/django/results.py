"""Convert jobs to Django's task results."""

import builtins
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from django.conf import settings
from django.tasks import Task, TaskResult, TaskResultStatus
from django.tasks.base import TaskError
from django.utils import timezone

from job_runners import errors
from job_runners.django import errors as django_errors
from job_runners.work import errors as work_errors

if TYPE_CHECKING:
    from job_runners import Job, JobError

_CANCELED = "canceled"
_STATUS = {
    "running": TaskResultStatus.RUNNING,
    "succeeded": TaskResultStatus.SUCCESSFUL,
    "failed": TaskResultStatus.FAILED,
    _CANCELED: TaskResultStatus.FAILED,
}


class Failure(NamedTuple):
    """The error of an attempt, with the fields of `job_runners.JobError` that a result needs."""

    kind: str
    message: str
    module: str | None = None
    traceback: str | None = None


class TaskJob(NamedTuple):
    """A job, with the fields of `job_runners.Job` that a result needs.

    Workers can't use `job_runners.Job` itself, because it belongs to the client.
    """

    id: str
    job_type: str
    status: str
    organization_id: str | None = None
    attempt: int = 1
    created_at: datetime | None = None
    started_at: datetime | None = None
    attempt_started_at: datetime | None = None
    finished_at: datetime | None = None
    run_at: datetime | None = None
    payload: Any = None
    result: Any = None
    error: Failure | None = None
    earlier_errors: Sequence[Failure] = ()


def build_result(
    job: "TaskJob | Job", task: Task, call: dict[str, Any], backend_alias: str
) -> TaskResult:
    """Return the task result for a job whose payload is `call`."""
    attempt = job.attempt or 1
    # A job that waits for a retry has the number of its next attempt, which hasn't started.
    has_started = job.attempt_started_at is not None
    started_attempts = attempt if has_started else attempt - 1
    result = TaskResult(
        task=task,
        id=job.id,
        status=_STATUS.get(job.status, TaskResultStatus.READY),
        enqueued_at=apply_use_tz(job.created_at),
        started_at=apply_use_tz(job.started_at),
        last_attempted_at=apply_use_tz(job.attempt_started_at or job.started_at),
        finished_at=apply_use_tz(job.finished_at),
        args=call["args"],
        kwargs=call["keywords"],
        backend=backend_alias,
        errors=_task_errors(job),
        # Django takes the number of these ids as the number of attempts.
        worker_ids=[f"{job.id}/{number}" for number in range(1, started_attempts + 1)],
    )
    set_field(result, "_return_value", job.result)
    return result


def set_field(result: TaskResult, name: str, value: Any) -> None:
    """Set a field of a task result, although its class is frozen. Django does the same."""
    object.__setattr__(result, name, value)


def apply_use_tz(time: datetime | None) -> datetime | None:
    """Remove the time zone if the setting USE_TZ is off."""
    return time if time is None or settings.USE_TZ else timezone.make_naive(time)


def _task_errors(job: "TaskJob | Job") -> list[TaskError]:
    """Return the errors of the earlier attempts, and the error with which the job ended."""
    failures: list[Failure | JobError] = [*job.earlier_errors]
    if job.status == _CANCELED:
        failures.append(Failure("JobCanceled", "The job was canceled.", "job_runners"))
    elif job.status == "failed" and job.error:
        failures.append(job.error)
    return [
        TaskError(
            exception_class_path=_class_path(failure),
            traceback=failure.traceback or f"{failure.kind}: {failure.message}\n",
        )
        for failure in failures
    ]


def _class_path(failure: "Failure | JobError") -> str:
    """Return the path of the error's class, or Exception's path if the class can't be found."""
    kind = failure.kind or "Exception"
    if failure.module == "":  # a class without a module
        return "builtins.Exception"
    if failure.module is not None:
        return f"{failure.module}.{kind}"
    # The engine records no module for the error classes of Python and of Job Runners.
    for module in (builtins, errors, work_errors, django_errors):
        if hasattr(module, kind):
            return f"{module.__name__}.{kind}"
    return "builtins.Exception"
