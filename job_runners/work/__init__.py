"""The names that the author of a job or a task imports.

    from job_runners.work import Job, Retry, RunningJob

The first use of a name imports its module, so that a cold start loads only what it needs.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from job_runners.errors import DoNotRetry as DoNotRetry
    from job_runners.errors import MissingObject as MissingObject
    from job_runners.errors import NotDeployed as NotDeployed
    from job_runners.errors import ObjectChanged as ObjectChanged
    from job_runners.errors import RetryAfter as RetryAfter
    from job_runners.store.rate import Rate as Rate
    from job_runners.work.app_settings import app_setting as app_setting
    from job_runners.work.around import CurrentWork as CurrentWork
    from job_runners.work.batch_ended import BatchEnded as BatchEnded
    from job_runners.work.definitions import InternalJob as InternalJob
    from job_runners.work.definitions import Job as Job
    from job_runners.work.definitions import Task as Task
    from job_runners.work.errors import WaitTimedOut as WaitTimedOut
    from job_runners.work.gathering import GroupResults as GroupResults
    from job_runners.work.gathering import Member as Member
    from job_runners.work.gathering import MemberResult as MemberResult
    from job_runners.work.job_ended import JobEnded as JobEnded
    from job_runners.work.queues import Queue as Queue
    from job_runners.work.recurring import Each as Each
    from job_runners.work.recurring import Recurring as Recurring
    from job_runners.work.retry import Retry as Retry
    from job_runners.work.running_job import RunningJob as RunningJob
    from job_runners.work.unique import Unique as Unique


_MODULES = {
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

__all__ = list(_MODULES)

if not TYPE_CHECKING:  # otherwise a type checker would accept any name

    def __getattr__(name: str) -> object:
        """Import and return an exported name (PEP 562)."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(_MODULES[name]), name)
        globals()[name] = value
        return value
