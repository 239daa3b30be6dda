"""What the author of a job or a task imports: `from work import Job, Retry, RunningJob`.

A name is looked up when it is first asked for, so that a cold start pays only for what it uses.
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

if not TYPE_CHECKING:  # or a type checker would take any name for one of these

    def __getattr__(name: str) -> object:
        """Return what this package exports under the name (PEP 562)."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(_HOMES[name]), name)
        return value
