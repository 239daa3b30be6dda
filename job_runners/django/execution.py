"""Call a task as Django calls a view: with fresh connections, a language and a time zone."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from traceback import format_exception
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.cache import close_caches
from django.db import connections, reset_queries
from django.tasks import TaskContext, TaskResult, TaskResultStatus, task_backends
from django.tasks.base import TaskError
from django.tasks.exceptions import InvalidTask, InvalidTaskBackend
from django.tasks.signals import task_finished, task_started
from django.utils import timezone, translation

from job_runners.django.backend import JobRunnersBackend, TaskNotFound
from job_runners.django.calls import check_signature, to_json_values
from job_runners.django.current import CurrentJob, current_job
from job_runners.django.errors import TaskRefused
from job_runners.django.job_type import TaskCall
from job_runners.django.results import TaskJob, build_result, set_field
from job_runners.errors import DoNotRetry, NotDeployed

if TYPE_CHECKING:
    from job_runners.work.running_job import RunningJob

_FRAMEWORK_PACKAGES = ("job_runners.", "django.tasks.", "asgiref.")  # these call the task


def execute(job: "RunningJob", call: TaskCall, *, is_from_payload: bool) -> Any:
    """Call the task, send Django's signals, and return the task's result as JSON values.

    A call from a payload must be signed, unless the backend's option SIGN is off. Raises
    TaskRefused, or NotDeployed for a task that only a newer deploy may have.
    """
    backend = _find_backend(call)
    task = _load_task(backend, call, is_from_payload)
    task = task.using(queue_name=call.queue, backend=call.backend)
    now = datetime.now(UTC)
    running_job = TaskJob(
        job.id, call.task, "running", attempt=job.attempt, started_at=now, attempt_started_at=now
    )
    result = build_result(running_job, task, call.model_dump(), call.backend)
    token = current_job.set(CurrentJob(job))
    try:
        with _request_environment():
            return _call_task(backend, result, is_last_attempt=job.last_attempt)
    finally:
        current_job.reset(token)


def _find_backend(call: TaskCall) -> JobRunnersBackend:
    try:
        backend = task_backends[call.backend]
    except InvalidTaskBackend:
        raise TaskRefused(
            f"The worker has no TASKS[{call.backend!r}]. Give the worker the site's TASKS."
        ) from None
    if not isinstance(backend, JobRunnersBackend):
        kind = type(backend).__name__
        raise TaskRefused(
            f"In the worker, the backend of TASKS[{call.backend!r}] is {kind}. Give the worker the "
            "site's TASKS."
        )
    return backend


def _load_task(backend: JobRunnersBackend, call: TaskCall, is_from_payload: bool) -> Any:
    """Import the task after checking the call's signature.

    A site only signs calls of tasks that it has. So if a call is signed, but this worker lacks its
    task, the worker's code is older than the site's.
    """
    requires_signature = backend.settings["SIGN"]
    try:
        if is_from_payload and requires_signature:
            check_signature(call.model_dump())
        return backend.load_task(call.task)
    except TaskNotFound as error:
        if requires_signature:
            raise NotDeployed(str(error)) from error
        raise TaskRefused(str(error)) from error
    except InvalidTask as error:
        raise TaskRefused(str(error)) from None


def _call_task(backend: JobRunnersBackend, result: TaskResult, *, is_last_attempt: bool) -> Any:
    """Call the task, and send Django's signals. Return the task's result as JSON values.

    If the task fails but is retried, the signal `task_finished` isn't sent yet.
    """
    task = result.task
    task_started.send(type(backend), task_result=result)
    args = [TaskContext(task_result=result)] if task.takes_context else []
    args += result.args
    try:
        returned_value = task.call(*args, **result.kwargs)
        value = to_json_values(
            returned_value, f"The result of {task.module_path}", "Save it, and return its id."
        )
    except (Exception, SystemExit) as error:  # the engine's own interrupts are BaseExceptions
        _shorten_traceback(error)
        is_final = is_last_attempt or isinstance(error, DoNotRetry)
        if is_final and not isinstance(error, NotDeployed):
            path = f"{type(error).__module__}.{type(error).__qualname__}"
            text = "".join(format_exception(error))
            result.errors.append(TaskError(exception_class_path=path, traceback=text))
            _finish(backend, result, TaskResultStatus.FAILED)
        raise
    set_field(result, "_return_value", value)
    _finish(backend, result, TaskResultStatus.SUCCESSFUL)
    return value


def _finish(backend: JobRunnersBackend, result: TaskResult, status: TaskResultStatus) -> None:
    set_field(result, "status", status)
    set_field(result, "finished_at", timezone.now())
    # send_robust, because a receiver's error must not fail a task that has succeeded.
    task_finished.send_robust(type(backend), task_result=result)


def _shorten_traceback(error: BaseException) -> None:
    """Drop the frames before the task's own code, so that failures are grouped by that code."""
    traceback = error.__traceback__
    while traceback is not None:
        module = f"{traceback.tb_frame.f_globals.get('__name__')}."
        is_standard = module.partition(".")[0] in sys.stdlib_module_names
        if not is_standard and not module.startswith(_FRAMEWORK_PACKAGES):
            error.__traceback__ = traceback
            return
        traceback = traceback.tb_next


@contextmanager
def _request_environment() -> Iterator[None]:
    """Use the settings' language and time zone, and close all connections at the end.

    Connections would break while Lambda freezes the process. A connection that is already in a
    transaction belongs to a test, and stays open.
    """
    test_connections = [
        connection
        for connection in connections.all(initialized_only=True)
        if connection.in_atomic_block
    ]
    reset_queries()
    try:
        with translation.override(settings.LANGUAGE_CODE), timezone.override(None):
            yield
    finally:
        for connection in connections.all(initialized_only=True):
            if connection not in test_connections:
                connection.close()
                if hasattr(connection, "close_pool"):  # close() only put it back into the pool
                    connection.close_pool()
        close_caches()
