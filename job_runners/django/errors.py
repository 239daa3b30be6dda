"""The errors of a job whose task isn't called."""

from job_runners.errors import DoNotRetry


class TaskRefused(DoNotRetry):
    """The worker may not make this call: its signature or its backend is wrong."""


class DjangoMissing(DoNotRetry):
    """The worker's build has no Django with tasks."""
