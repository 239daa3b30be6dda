"""The package for callers: a client of the HTTP API, and the command `job-runners`.

    from job_runners import Client

    client = Client(stack="prod")
    job = client.wait(client.dispatch("sync_list", {"list": 7}))
    print(job.get_result())

Both use only the HTTP API, not the code behind it. The client needs no other package.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from job_runners.client.batch_models import Batch, BatchMember, BatchUnfinished, Group
    from job_runners.client.bulk_client import Dispatched
    from job_runners.client.client import Client
    from job_runners.client.credentials import Credentials
    from job_runners.client.errors import (
        AccessDenied,
        ApiBusy,
        ApiError,
        ConfigurationError,
        Conflict,
        FailedTaskNotFound,
        FailureNotFound,
        IdempotencyConflict,
        InsecureAddress,
        InvalidRequest,
        JobNotFound,
        JobRunnersError,
        NoAnswer,
        NoCredentials,
        OutcomeUnknown,
        QueueNotFound,
        ScheduleNotFound,
        SignalConflict,
        SignalTooLate,
        StackNotFound,
        UnexpectedAnswer,
        UniqueConflict,
        UploadRefused,
        WebhookNotFound,
        WrongState,
    )
    from job_runners.client.failure_models import Failure
    from job_runners.client.models import (
        Child,
        FailedTask,
        FollowUp,
        Job,
        JobCanceled,
        JobError,
        JobFailed,
        JobTypes,
        JobUnfinished,
        Pause,
        WaitsFor,
    )
    from job_runners.client.queue_models import ConcurrencyKey, Holder, Limits, Place, Queue, Rate
    from job_runners.client.schedule_models import Occurrence, Schedule
    from job_runners.client.webhook_models import Webhook

__version__ = "0.3.0"

# The module of each public name. Modules are imported on first use, so that the command's help
# doesn't have to import HTTP and TLS.
_HOMES = {
    "batch_models": ("Batch", "BatchMember", "BatchUnfinished", "Group"),
    "bulk_client": ("Dispatched",),
    "client": ("Client",),
    "credentials": ("Credentials",),
    "errors": (
        "AccessDenied",
        "ApiBusy",
        "ApiError",
        "ConfigurationError",
        "Conflict",
        "FailedTaskNotFound",
        "FailureNotFound",
        "IdempotencyConflict",
        "InsecureAddress",
        "InvalidRequest",
        "JobNotFound",
        "JobRunnersError",
        "NoAnswer",
        "NoCredentials",
        "OutcomeUnknown",
        "QueueNotFound",
        "ScheduleNotFound",
        "SignalConflict",
        "SignalTooLate",
        "StackNotFound",
        "UnexpectedAnswer",
        "UniqueConflict",
        "UploadRefused",
        "WebhookNotFound",
        "WrongState",
    ),
    "failure_models": ("Failure",),
    "models": (
        "Child",
        "FailedTask",
        "FollowUp",
        "Job",
        "JobCanceled",
        "JobError",
        "JobFailed",
        "JobTypes",
        "JobUnfinished",
        "Pause",
        "WaitsFor",
    ),
    "queue_models": ("Holder", "Limits", "Place", "Queue", "ConcurrencyKey", "Rate"),
    "schedule_models": ("Occurrence", "Schedule"),
    "webhook_models": ("Webhook",),
}

__all__ = [
    "AccessDenied",
    "ApiBusy",
    "ApiError",
    "Batch",
    "BatchMember",
    "BatchUnfinished",
    "Child",
    "Client",
    "ConcurrencyKey",
    "ConfigurationError",
    "Conflict",
    "Credentials",
    "Dispatched",
    "FailedTask",
    "FailedTaskNotFound",
    "Failure",
    "FailureNotFound",
    "FollowUp",
    "Group",
    "Holder",
    "IdempotencyConflict",
    "InsecureAddress",
    "InvalidRequest",
    "Job",
    "JobCanceled",
    "JobError",
    "JobFailed",
    "JobNotFound",
    "JobRunnersError",
    "JobTypes",
    "JobUnfinished",
    "Limits",
    "NoAnswer",
    "NoCredentials",
    "Occurrence",
    "OutcomeUnknown",
    "Pause",
    "Place",
    "Queue",
    "QueueNotFound",
    "Rate",
    "Schedule",
    "ScheduleNotFound",
    "SignalConflict",
    "SignalTooLate",
    "StackNotFound",
    "UnexpectedAnswer",
    "UniqueConflict",
    "UploadRefused",
    "WaitsFor",
    "Webhook",
    "WebhookNotFound",
    "WrongState",
]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.client.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
