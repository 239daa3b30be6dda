"""Run Django tasks in a worker. The first task in a process imports Django and sets it up."""

from typing import Any, cast

from job_runners.django import check_django
from job_runners.django.errors import DjangoMissing
from job_runners.django.job_type import NoArguments, TaskCall
from job_runners.work.running_job import RunningJob


def run_task(job: RunningJob, payload: TaskCall) -> Any:
    """Call the task that the payload names, and return its result."""
    return _execute(job, payload, is_from_payload=True)


def run_fixed_task(job: RunningJob, payload: NoArguments) -> Any:
    """Call the job type's fixed task. `DjangoTask` passes its `fixed_call` as the payload."""
    return _execute(job, cast(TaskCall, payload), is_from_payload=False)


def _execute(job: RunningJob, call: TaskCall, *, is_from_payload: bool) -> Any:
    _set_up_django()
    from job_runners.django.execution import execute

    return execute(job, call, is_from_payload=is_from_payload)


def _set_up_django() -> None:
    """Set up Django if this process hasn't yet. The app's code sets DJANGO_SETTINGS_MODULE."""
    try:
        check_django()
    except ImportError as error:
        raise DjangoMissing(str(error)) from error
    import django
    from django.apps import apps
    from django.conf import settings

    if not apps.ready:
        settings.LOGGING_CONFIG = None  # the worker already logs each record
        try:
            django.setup()
        except BaseException:
            # Otherwise the next attempt in this process would fail without naming the cause.
            apps.app_configs.clear()
            apps.loading = False
            raise
