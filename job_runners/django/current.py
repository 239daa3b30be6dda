"""Set the organization and the idempotency key of each job that a running task enqueues."""

import json
from collections import Counter
from collections.abc import Mapping
from contextvars import ContextVar
from hashlib import sha256
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from job_runners.work.running_job import RunningJob


class CurrentJob:
    """The job whose task is running.

    If the task is retried, it enqueues the same calls again. They must not run twice. So the
    idempotency key of a call contains a hash of the call, and the number of times that this attempt
    has enqueued the same call.
    """

    def __init__(self, job: "RunningJob") -> None:
        self._job = job
        self._counts: Counter[str] = Counter()

    def fields_for(self, payload: Mapping[str, Any]) -> dict[str, str]:
        """Return the organization and the idempotency key for a call that the task enqueues."""
        # Leave out the signature, because it changes with the SECRET_KEY.
        call = {name: value for name, value in payload.items() if name != "signature"}
        digest = sha256(json.dumps(call, sort_keys=True).encode()).hexdigest()[:32]
        self._counts[digest] += 1
        return {
            "organization_id": self._job.organization_id,
            "idempotency_key": f"{self._prefix}{digest}/{self._counts[digest]}",
        }

    def has_key(self, key: object) -> bool:
        """Return whether `fields_for` has made this key, in this or another attempt of the job."""
        return isinstance(key, str) and key.startswith(self._prefix)

    @property
    def _prefix(self) -> str:
        return f"{self._job.id}/"


current_job: ContextVar[CurrentJob | None] = ContextVar("current_job", default=None)
