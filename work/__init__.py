"""The names that the author of a job or a task imports: `from work import Job, Retry, RunningJob`.

A name's module is imported at the name's first use, so that a cold start loads only what it needs.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from errors import DoNotRetry, MissingObject, ObjectChanged, RetryAfter
    from store.rate import Rate
    from work.app_settings import app_setting
    from work.around import CurrentWork
    from work.definitions import Job, Task
    from work.queues import Queue
    from work.recurring import Each, Recurring
    from work.retry import Retry
    from work.running_job import RunningJob
    from work.unique import Unique

__all__ = [
    "CurrentWork",
    "DoNotRetry",
    "Each",
    "Job",
    "MissingObject",
    "ObjectChanged",
    "Queue",
    "Rate",
    "Recurring",
    "Retry",
    "RetryAfter",
    "RunningJob",
    "Task",
    "Unique",
    "app_setting",
]

_HOMES = {
    "CurrentWork": "work.around",
    "DoNotRetry": "errors",
    "Each": "work.recurring",
    "Job": "work.definitions",
    "MissingObject": "errors",
    "ObjectChanged": "errors",
    "Queue": "work.queues",
    "Rate": "store.rate",
    "Recurring": "work.recurring",
    "Retry": "work.retry",
    "RetryAfter": "errors",
    "RunningJob": "work.running_job",
    "Task": "work.definitions",
    "Unique": "work.unique",
    "app_setting": "work.app_settings",
}

if not TYPE_CHECKING:  # otherwise a type checker would accept any name

    def __getattr__(name: str) -> object:
        """Import and return an exported name (PEP 562)."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(_HOMES[name]), name)
        return value
