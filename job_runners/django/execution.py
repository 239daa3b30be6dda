"""Call a task's function as Django calls a view: with new connections, a language and a zone."""

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
from job_runners.django.results import TaskJob, build_result
from job_runners.errors import DoNotRetry, NotDeployed

if TYPE_CHECKING:
    from job_runners.work.running_job import RunningJob

# The packages between the engine and the task's own code.
_CALLERS = ("job_runners.", "django.tasks.", "asgiref.")


def execute(job: "RunningJob", call: TaskCall, *, is_from_payload: bool) -> Any:
    """Call the task's function, send Django's signals, and return the result as JSON values.

    A call from a payload must have a signature, unless the backend's option SIGN is off. Raises
    TaskRefused, and NotDeployed for a task that a later deploy may have.
    """
    backend = _backend(call)
    task = _task(backend, call, is_from_payload)
    task = task.using(queue_name=call.queue, backend=call.backend)
    now = datetime.now(UTC)
    running_job = TaskJob(
        job.id, call.task, "running", attempt=job.attempt, started_at=now, attempt_started_at=now
    )
    result = build_result(running_job, task, call.model_dump(), call.backend)
    token = current_job.set(CurrentJob(job))
    try:
        with _request_environment():
            return _call(backend, result, is_last=job.last_attempt)
    finally:
        current_job.reset(token)


def _backend(call: TaskCall) -> JobRunnersBackend:
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


def _task(backend: JobRunnersBackend, call: TaskCall, is_from_payload: bool) -> Any:
    """Return the call's task.

    The site checks a task before it signs a call. So if the task of a signed call is unknown here,
    this worker's code is older than the site's.
    """
    is_signed = backend.settings["SIGN"]
    try:
        if is_from_payload and is_signed:
            check_signature(call.model_dump())
        return backend.task_at(call.task)
    except TaskNotFound as error:
        if is_signed:
            raise NotDeployed(str(error)) from error
        raise TaskRefused(str(error)) from error
    except InvalidTask as error:
        raise TaskRefused(str(error)) from None


def _call(backend: JobRunnersBackend, result: TaskResult, *, is_last: bool) -> Any:
    task = result.task
    task_started.send(type(backend), task_result=result)
    context = [TaskContext(task_result=result)] if task.takes_context else []
    try:
        returned_value = task.call(*context, *result.args, **result.kwargs)
        value = to_json_values(
            returned_value, f"The result of {task.module_path}", "Save it, and return its id."
        )
    except (Exception, SystemExit) as error:  # not the engine's own interrupts
        _shorten_traceback(error)
        is_final = is_last or isinstance(error, DoNotRetry)
        if is_final and not isinstance(error, NotDeployed):
            path = f"{type(error).__module__}.{type(error).__qualname__}"
            text = "".join(format_exception(error))
            result.errors.append(TaskError(exception_class_path=path, traceback=text))
            _finish(backend, result, TaskResultStatus.FAILED)
        raise
    object.__setattr__(result, "_return_value", value)
    _finish(backend, result, TaskResultStatus.SUCCESSFUL)
    return value


def _finish(backend: JobRunnersBackend, result: TaskResult, status: TaskResultStatus) -> None:
    object.__setattr__(result, "status", status)
    object.__setattr__(result, "finished_at", timezone.now())
    # A receiver's error must not fail a task that has succeeded, so use send_robust.
    task_finished.send_robust(type(backend), task_result=result)


def _shorten_traceback(error: BaseException) -> None:
    """Let the traceback begin in the task's own code, so that failures are grouped by that code."""
    trace = error.__traceback__
    while trace is not None:
        module = f"{trace.tb_frame.f_globals.get('__name__')}."
        is_standard = module.partition(".")[0] in sys.stdlib_module_names
        if not is_standard and not module.startswith(_CALLERS):
            error.__traceback__ = trace
            return
        trace = trace.tb_next


@contextmanager
def _request_environment() -> Iterator[None]:
    """Use the settings' language and time zone, and close all connections at the end.

    They would not survive the freezing of the process by Lambda. A connection that is already in a
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
                if hasattr(connection, "close_pool"):  # a pool keeps connections open
                    connection.close_pool()
        close_caches()
