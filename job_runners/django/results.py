"""Show jobs as results of Django's tasks."""

import builtins
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from django.conf import settings
from django.tasks import Task, TaskResult, TaskResultStatus
from django.tasks.base import TaskError
from django.utils import timezone

from job_runners import errors
from job_runners.django import errors as own_errors
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
    """The error of an attempt: what a result shows of `job_runners.JobError`."""

    kind: str
    message: str
    module: str | None = None
    traceback: str | None = None


class TaskJob(NamedTuple):
    """A job where the client isn't installed: what a result shows of `job_runners.Job`."""

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


def result_of(job: "TaskJob | Job", task: Task, call: dict[str, Any], alias: str) -> TaskResult:
    """Return a job as the result of a task. `call` is the payload of the job."""
    attempt = job.attempt or 1
    begun = attempt if job.attempt_started_at else attempt - 1
    result = TaskResult(
        task=task,
        id=job.id,
        status=_STATUS.get(job.status, TaskResultStatus.READY),
        enqueued_at=local(job.created_at),
        started_at=local(job.started_at),
        last_attempted_at=local(job.attempt_started_at or job.started_at),
        finished_at=local(job.finished_at),
        args=call["args"],
        kwargs=call["keywords"],
        backend=alias,
        errors=_errors(job),
        # A name for the worker of each attempt, because `TaskResult.attempts` counts these.
        worker_ids=[f"{job.id}/{number}" for number in range(1, begun + 1)],
    )
    object.__setattr__(result, "_return_value", job.result)
    return result


def local(time: datetime | None) -> datetime | None:
    """Return a time in the form of the settings: without a zone if USE_TZ is off."""
    return time if time is None or settings.USE_TZ else timezone.make_naive(time)


def _errors(job: "TaskJob | Job") -> list[TaskError]:
    failures: list[Failure | JobError] = [*job.earlier_errors]
    if job.status == _CANCELED:
        failures.append(Failure("JobCanceled", "The job was canceled.", "job_runners"))
    elif job.status == "failed" and job.error:
        failures.append(job.error)
    return [
        TaskError(
            exception_class_path=_path_of(each),
            traceback=each.traceback or f"{each.kind}: {each.message}\n",
        )
        for each in failures
    ]


def _path_of(failure: "Failure | JobError") -> str:
    """Return the path of the error's class. A class of Python or of ours is recorded without its
    module; of our own internal classes, which have no path, only the traceback has the name."""
    kind, module = failure.kind or "Exception", failure.module
    if module is None:
        modules = (builtins, errors, work_errors, own_errors)
        module = next((each.__name__ for each in modules if hasattr(each, kind)), None)
    return f"{module}.{kind}" if module else "builtins.Exception"
