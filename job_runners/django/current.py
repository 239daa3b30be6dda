"""What a task enqueues: jobs with the organization of its job, and with keys derived from it."""

import json
from collections import Counter
from collections.abc import Mapping
from contextvars import ContextVar
from hashlib import sha256
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from job_runners.work.running_job import RunningJob


class CurrentJob:
    """The job whose task is running. It counts how often the task has enqueued each call."""

    def __init__(self, job: "RunningJob") -> None:
        self._job = job
        self._counts: Counter[str] = Counter()

    def fields_for(self, payload: Mapping[str, Any]) -> dict[str, str]:
        """Return the organization and the idempotency key of a task that this task enqueues.

        Another attempt of this task that enqueues the same calls gets the same keys. The signature
        is left out, because a new SECRET_KEY changes it.
        """
        call = {name: value for name, value in payload.items() if name != "signature"}
        digest = sha256(json.dumps(call, sort_keys=True).encode()).hexdigest()[:32]
        self._counts[digest] += 1
        return {
            "organization_id": self._job.organization_id,
            "idempotency_key": f"{self._prefix}{digest}/{self._counts[digest]}",
        }

    def derived(self, key: object) -> bool:
        """Return whether `fields_for` has made this idempotency key."""
        return isinstance(key, str) and key.startswith(self._prefix)

    @property
    def _prefix(self) -> str:
        return f"{self._job.id}/"


current_job: ContextVar[CurrentJob | None] = ContextVar("current_job", default=None)
