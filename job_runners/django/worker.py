"""Run a Django task in a worker. The first task imports Django and sets it up."""

from typing import Any, cast

from job_runners.django import check_django
from job_runners.django.errors import DjangoMissing
from job_runners.django.job_type import NoArguments, TaskCall
from job_runners.work.running_job import RunningJob


def run_task(job: RunningJob, payload: TaskCall) -> Any:
    """Call a task's function and return what it returns."""
    return _execute(job, payload, is_from_payload=True)


def run_fixed_task(job: RunningJob, payload: NoArguments) -> Any:
    """Make a job type's fixed call. `DjangoTask` passes it instead of the job's payload."""
    return _execute(job, cast(TaskCall, payload), is_from_payload=False)


def _execute(job: RunningJob, call: TaskCall, *, is_from_payload: bool) -> Any:
    _set_up()
    from job_runners.django.execution import execute

    return execute(job, call, is_from_payload=is_from_payload)


def _set_up() -> None:
    """Set up Django once. The package of jobs sets DJANGO_SETTINGS_MODULE."""
    try:
        check_django()
    except ImportError as error:
        raise DjangoMissing(str(error)) from error
    import django
    from django.apps import apps
    from django.conf import settings

    if not apps.ready:
        settings.LOGGING_CONFIG = None  # the worker's log already has each line
        try:
            django.setup()
        except BaseException:
            # Otherwise the next attempt in this process would fail without naming the cause.
            apps.app_configs.clear()
            apps.loading = False
            raise
