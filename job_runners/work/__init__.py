"""The names that the author of a job or a task imports.

    from job_runners.work import Job, Retry, RunningJob

A name's module is imported at the name's first use, so that a cold start loads only what it needs.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from job_runners.errors import (
        DoNotRetry,
        MissingObject,
        NotDeployed,
        ObjectChanged,
        RetryAfter,
    )
    from job_runners.store.rate import Rate
    from job_runners.work.app_settings import app_setting
    from job_runners.work.around import CurrentWork
    from job_runners.work.batch_ended import BatchEnded
    from job_runners.work.definitions import InternalJob, Job, Task
    from job_runners.work.errors import WaitTimedOut
    from job_runners.work.gathering import GroupResults, Member, MemberResult
    from job_runners.work.job_ended import JobEnded
    from job_runners.work.queues import Queue
    from job_runners.work.recurring import Each, Recurring
    from job_runners.work.retry import Retry
    from job_runners.work.running_job import RunningJob
    from job_runners.work.unique import Unique

__all__ = [
    "BatchEnded",
    "CurrentWork",
    "DoNotRetry",
    "Each",
    "GroupResults",
    "InternalJob",
    "Job",
    "JobEnded",
    "Member",
    "MemberResult",
    "MissingObject",
    "NotDeployed",
    "ObjectChanged",
    "Queue",
    "Rate",
    "Recurring",
    "Retry",
    "RetryAfter",
    "RunningJob",
    "Task",
    "Unique",
    "WaitTimedOut",
    "app_setting",
]

_HOMES = {
    "BatchEnded": "job_runners.work.batch_ended",
    "CurrentWork": "job_runners.work.around",
    "DoNotRetry": "job_runners.errors",
    "Each": "job_runners.work.recurring",
    "GroupResults": "job_runners.work.gathering",
    "InternalJob": "job_runners.work.definitions",
    "Job": "job_runners.work.definitions",
    "JobEnded": "job_runners.work.job_ended",
    "Member": "job_runners.work.gathering",
    "MemberResult": "job_runners.work.gathering",
    "MissingObject": "job_runners.errors",
    "NotDeployed": "job_runners.errors",
    "ObjectChanged": "job_runners.errors",
    "Queue": "job_runners.work.queues",
    "Rate": "job_runners.store.rate",
    "Recurring": "job_runners.work.recurring",
    "Retry": "job_runners.work.retry",
    "RetryAfter": "job_runners.errors",
    "RunningJob": "job_runners.work.running_job",
    "Task": "job_runners.work.definitions",
    "Unique": "job_runners.work.unique",
    "WaitTimedOut": "job_runners.work.errors",
    "app_setting": "job_runners.work.app_settings",
}

if not TYPE_CHECKING:  # otherwise a type checker would accept any name

    def __getattr__(name: str) -> object:
        """Import and return an exported name (PEP 562)."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(_HOMES[name]), name)
        return value
