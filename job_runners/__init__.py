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
        IdempotencyConflict,
        InvalidRequest,
        JobRunnersError,
        NoAnswer,
        NotFound,
        OutcomeUnknown,
        SignalConflict,
        SignalTooLate,
        UniqueConflict,
        UploadRefused,
        WrongState,
    )
    from job_runners.client.models import (
        Act,
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
        Timeline,
        TimelineRecord,
        WaitsFor,
    )
    from job_runners.client.organization_models import ErrorGroup, Occurrence, Schedule, Webhook
    from job_runners.client.queue_models import ConcurrencyKey, Holder, Limits, Place, Queue, Rate

__version__ = "0.3.0"

__all__ = [
    "AccessDenied",
    "Act",
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
    "ErrorGroup",
    "FailedTask",
    "FollowUp",
    "Group",
    "Holder",
    "IdempotencyConflict",
    "InvalidRequest",
    "Job",
    "JobCanceled",
    "JobError",
    "JobFailed",
    "JobRunnersError",
    "JobTypes",
    "JobUnfinished",
    "Limits",
    "NoAnswer",
    "NotFound",
    "Occurrence",
    "OutcomeUnknown",
    "Pause",
    "Place",
    "Queue",
    "Rate",
    "Schedule",
    "SignalConflict",
    "SignalTooLate",
    "Timeline",
    "TimelineRecord",
    "UniqueConflict",
    "UploadRefused",
    "WaitsFor",
    "Webhook",
    "WrongState",
]


# The modules that define the public names, cheap ones first. Each is imported on first use, so that
# the command's help doesn't import HTTP and TLS.
_MODELS = ("models", "batch_models", "queue_models", "organization_models")
_MODULES = ("errors", *_MODELS, "credentials", "bulk_client", "client")


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in __all__:
        for module in _MODULES:
            attributes = vars(import_module(f"{__name__}.client.{module}"))
            if name in attributes:
                return attributes[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
