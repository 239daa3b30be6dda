"""A backend for Django's tasks (`django.tasks`): each enqueued task is a job.

In the site's settings:

    TASKS = {"default": {"BACKEND": "job_runners.django.JobRunnersBackend"}}

In the package of jobs:

    JOBS = {"django_task": django_task()}

Importing this package imports neither Django nor the engine, because the API's function has no
Django, and a site has no engine.
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

# The attribute that `max_attempts` sets on a task's function.
MAX_ATTEMPTS = "job_runners_max_attempts"


def max_attempts(count: int) -> Callable[[_F], _F]:
    """Let a task have up to `count` attempts. Write this decorator below `@task`.

    It marks the function, so the task also works with Django's own backends, which ignore the mark.
    """
    if count < 1:
        raise ValueError(f"max_attempts({count}): a task has at least one attempt")

    def mark(function: _F) -> _F:
        if hasattr(function, "enqueue"):
            raise TypeError(f"Write @max_attempts({count}) below @task, not above it.")
        setattr(function, MAX_ATTEMPTS, count)
        return function

    return mark


class Options:
    """The options of an enclosing `job_options`. An idempotency key is used up by one task."""

    def __init__(self, idempotency_key: str | None, organization_id: str | None) -> None:
        self._key = idempotency_key
        self._organization_id = organization_id
        self._is_used = False

    def use(self) -> dict[str, str]:
        """Return the fields for the next dispatch. Raises ValueError if the key is used up."""
        if self._key is not None and self._is_used:
            raise ValueError(
                f"The idempotency key {self._key!r} stands for one task, and this block enqueues "
                "another one. Give each task its own job_options block."
            )
        self._is_used = True
        fields = {"idempotency_key": self._key, "organization_id": self._organization_id}
        return {name: value for name, value in fields.items() if value is not None}


current_options: ContextVar[Options | None] = ContextVar("current_options", default=None)


@contextmanager
def job_options(
    *, idempotency_key: str | None = None, organization_id: str | None = None
) -> Iterator[None]:
    """Give what is enqueued in this block the options that Django's interface lacks.

    With an idempotency key, the block may enqueue one task: the same call with the same key is the
    same job. Other backends ignore these options.
    """
    token = current_options.set(Options(idempotency_key, organization_id))
    try:
        yield
    finally:
        current_options.reset(token)


def check_django() -> None:
    """Import Django's tasks. Raise ImportError with advice if the installed Django has none."""
    try:
        import_module("django.tasks")
    except ModuleNotFoundError as error:
        if error.name not in ("django", "django.tasks"):
            raise
        raise ImportError(
            "job_runners.django needs Django 6.0 or later, which needs Python 3.12 or later. "
            "Install it with: pip install 'job-runners[django]'"
        ) from error


if not TYPE_CHECKING:  # otherwise a type checker would accept any name

    def __getattr__(name: str) -> object:
        """Import and return an exported name (PEP 562)."""
        if name == "JobRunnersBackend":
            check_django()
            return import_module("job_runners.django.backend").JobRunnersBackend
        if name == "django_task":
            return import_module("job_runners.django.job_type").django_task
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
