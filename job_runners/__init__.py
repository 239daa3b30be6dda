"""The package for callers: a client of the HTTP API, and the command `job-runners`.

    from job_runners import Client

    client = Client(stack="prod")
    job = client.wait(client.dispatch("sync_list", {"list": 7}))
    print(job.get_result())

Both use only the HTTP API, not the code behind it. The client needs no other package.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from job_runners.client.batch_models import Batch, BatchUnfinished
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
    from job_runners.client.models import Job, JobCanceled, JobError, JobFailed, JobUnfinished
    from job_runners.client.queue_models import Rate

__version__ = "0.3.0"

__all__ = [
    "AccessDenied",
    "ApiBusy",
    "ApiError",
    "Batch",
    "BatchUnfinished",
    "Client",
    "ConfigurationError",
    "Conflict",
    "Credentials",
    "IdempotencyConflict",
    "InvalidRequest",
    "Job",
    "JobCanceled",
    "JobError",
    "JobFailed",
    "JobRunnersError",
    "JobUnfinished",
    "NoAnswer",
    "NotFound",
    "OutcomeUnknown",
    "Rate",
    "SignalConflict",
    "SignalTooLate",
    "UniqueConflict",
    "UploadRefused",
    "WrongState",
]


# The modules that define the public names, cheap ones first. Each is imported on first use, so that
# the command's help doesn't import HTTP and TLS.
_MODULES = ("errors", "models", "batch_models", "queue_models", "credentials", "client")


if not TYPE_CHECKING:  # otherwise a type checker would accept any name

    def __getattr__(name: str) -> object:
        """Import and return a public name (PEP 562)."""
        from importlib import import_module

        if name in __all__:
            for module in _MODULES:
                attributes = vars(import_module(f"{__name__}.client.{module}"))
                if name in attributes:
                    return attributes[name]
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
