"""Errors that keep a worker from calling a task."""

from job_runners.errors import DoNotRetry


class TaskRefused(DoNotRetry):
    """The call's signature or its backend is wrong."""


class DjangoMissing(DoNotRetry):
    """The worker's build lacks Django, or its Django is too old for tasks."""
