"""A backend for Django's tasks (`django.tasks`). Each enqueued task becomes a job.

In the site's settings:

    TASKS = {"default": {"BACKEND": "job_runners.django.JobRunnersBackend"}}

In the package of jobs:

    JOBS = {"django_task": django_task()}

This module must import neither Django nor the engine, because the API's Lambda function doesn't
have Django, and a site doesn't have the engine.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from job_runners.django.backend import JobRunnersBackend as JobRunnersBackend
    from job_runners.django.job_type import django_task as django_task

_F = TypeVar("_F", bound=Callable[..., Any])

MAX_ATTEMPTS_ATTRIBUTE = "job_runners_max_attempts"  # an attribute of a task's function


def max_attempts(count: int) -> Callable[[_F], _F]:
    """Let a task have up to `count` attempts. Write this decorator below `@task`.

    The task also works with other backends, which ignore `count`.
    """
    if count < 1:
        raise ValueError(f"max_attempts({count}): a task has at least one attempt")

    def decorate(function: _F) -> _F:
        if hasattr(function, "enqueue"):
            raise TypeError(f"Write @max_attempts({count}) below @task, not above it.")
        setattr(function, MAX_ATTEMPTS_ATTRIBUTE, count)
        return function

    return decorate


class Options:
    """What a `job_options` block sets. Only one task may use its idempotency key."""

    def __init__(self, idempotency_key: str | None, organization_id: str | None) -> None:
        self._idempotency_key = idempotency_key
        self._organization_id = organization_id
        self._is_used = False

    def use(self) -> dict[str, str]:
        """Return the fields for the next job of the block.

        Raises ValueError if an earlier job of the block already has the idempotency key.
        """
        key = self._idempotency_key
        if key is not None and self._is_used:
            raise ValueError(
                f"The idempotency key {key!r} stands for one task, and this block enqueues "
                "another one. Give each task its own job_options block."
            )
        self._is_used = True
        fields = {"idempotency_key": key, "organization_id": self._organization_id}
        return {name: value for name, value in fields.items() if value is not None}


current_options: ContextVar[Options | None] = ContextVar("current_options", default=None)


@contextmanager
def job_options(
    *, idempotency_key: str | None = None, organization_id: str | None = None
) -> Iterator[None]:
    """Set options that Django's tasks lack, for the tasks that this block enqueues.

    With an idempotency key, the block may enqueue only one task. Enqueuing the same call again with
    the same key returns the same job. Other backends ignore these options.
    """
    token = current_options.set(Options(idempotency_key, organization_id))
    try:
        yield
    finally:
        current_options.reset(token)


def check_django() -> None:
    """Raise ImportError, with advice, unless the installed Django has tasks."""
    try:
        import_module("django.tasks")
    except ModuleNotFoundError as error:
        if error.name not in ("django", "django.tasks"):
            raise
        raise ImportError(
            "job_runners.django needs Django 6.0 or later, which needs Python 3.12 or later. "
            "Install it with: pip install 'job-runners[django]'"
        ) from error


if not TYPE_CHECKING:  # with __getattr__, type checkers would accept any name

    def __getattr__(name: str) -> object:
        """Import a public name when it is first used (PEP 562)."""
        if name == "JobRunnersBackend":
            check_django()
            return import_module("job_runners.django.backend").JobRunnersBackend
        if name == "django_task":
            return import_module("job_runners.django.job_type").django_task
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
