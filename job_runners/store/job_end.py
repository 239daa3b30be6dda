"""The end of a job: its outcome, and when it was recorded."""

from typing import Any, Self

from job_runners import clock
from job_runners.store.job_request import Status
from job_runners.values import Value


class JobEnd(Value):
    """How and when a job ends. `error` is that of its last attempt, if it has one."""

    status: Status
    at: int  # in milliseconds since 1970
    error: dict[str, Any] | None = None

    @classmethod
    def now(cls, status: Status, error: dict[str, Any] | None = None) -> Self:
        """Return an end at this moment."""
        return cls(status, clock.now(), error)
