"""The payload of follow-ups: jobs that are dispatched when another job has ended."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

_SAMPLE: dict[str, Any] = {
    "job_id": "0123456789abcdef0123456789abcdef",
    "job_type": "send_letters",
    "error": None,
    "attempts": 1,
    "created_at": "2026-05-04T09:30:00.000Z",
    "started_at": None,
    "finished_at": "2026-05-04T09:31:00.000Z",
    "organization_id": "default",
    "group": {"total": 3, "succeeded": 2, "failed": 1, "canceled": 0, "existing": 0},
}


class EndError(BaseModel):
    """The error of the last attempt. `kind` is the name of the error's class."""

    kind: str
    message: str


class JobEnded(BaseModel):
    """A job that has ended: the payload of its follow-ups.

    A follow-up can also declare its own model with only some of these fields. `started_at` is when
    the job last started, or None if it never did. `error` is None if the job succeeded. `group`
    counts the members of the last group that the job gathered, by outcome. It is None if the job
    gathered none, or if its worker was killed before it could record the end.
    """

    model_config = ConfigDict(defer_build=True)

    job_id: str
    job_type: str
    status: Literal["succeeded", "failed", "canceled"]
    error: EndError | None
    attempts: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime
    organization_id: str
    group: dict[str, int] | None = None


def samples(kind: str) -> list[dict[str, Any]]:
    """Return payloads that a follow-up of this kind, "on_end" or "on_failure", must accept."""
    error = {"kind": "ValueError", "message": "no luck"}
    failed = _SAMPLE | {"status": "failed", "error": error}
    if kind == "on_failure":
        return [failed]
    return [failed, _SAMPLE | {"status": "succeeded"}, _SAMPLE | {"status": "canceled"}]
