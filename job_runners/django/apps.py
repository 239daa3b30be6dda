"""The optional app `job_runners.django`, which adds a check of the stack to check --deploy."""

from collections.abc import Iterator
from typing import Any

from django.apps import AppConfig
from django.core import checks

from job_runners.django import check_django


class JobRunnersConfig(AppConfig):
    """Registers the check."""

    name = "job_runners.django"
    label = "job_runners"

    def ready(self) -> None:
        """Register the check for --deploy only, because it calls the API.

        Also import Django's tasks, because Django registers its own check of TASKS at that import.
        """
        check_django()
        checks.register(check_stacks, deploy=True)


def check_stacks(**_: Any) -> Iterator[checks.CheckMessage]:
    """Yield a message for everything that the backends' stacks lack."""
    # Imported here because Django loads apps before backends can be imported.
    from django.tasks import task_backends

    from job_runners.django.backend import JobRunnersBackend
    from job_runners.django.checks import check_stack

    for backend in task_backends.all():
        if isinstance(backend, JobRunnersBackend):
            yield from check_stack(backend)
