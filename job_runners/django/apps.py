"""The optional Django app `job_runners.django`. With it, `check --deploy` also checks the stack."""

from collections.abc import Iterator
from typing import Any

from django.apps import AppConfig
from django.core import checks

from job_runners.django import check_django


class JobRunnersConfig(AppConfig):
    """Registers `check_stacks`."""

    name = "job_runners.django"
    label = "job_runners"

    def ready(self) -> None:
        """Register the check for `--deploy` only, because it calls the API."""
        check_django()  # imports django.tasks, which registers Django's own check of TASKS
        checks.register(check_stacks, deploy=True)


def check_stacks(**_: Any) -> Iterator[checks.CheckMessage]:
    """Report what the stack of each backend lacks."""
    # Imported here because Django loads apps before backends can be imported.
    from django.tasks import task_backends

    from job_runners.django.backend import JobRunnersBackend
    from job_runners.django.checks import check_stack

    for backend in task_backends.all():
        if isinstance(backend, JobRunnersBackend):
            yield from check_stack(backend)
