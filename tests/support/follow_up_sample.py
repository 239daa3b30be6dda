"""Jobs for tests with follow-ups, and the follow-ups, which note what they are told."""

from typing import Any, Literal

from pydantic import BaseModel

from job_runners.work import Job, JobEnded, Retry, RunningJob, Unique
from sample_work import Sample, once
from unique_sample import Lot, work

told: list[tuple[str, JobEnded]] = []
"""The type of each follow-up that ran, and its payload."""


class Wish(BaseModel):
    """A payload that no end of a job is."""

    wish: str


def note_end(job: RunningJob, payload: JobEnded) -> None:
    """Note an end."""
    told.append(("note_end", payload))


def note_failure(job: RunningJob, payload: JobEnded) -> None:
    """Note a failure."""
    told.append(("note_failure", payload))


def dispatch_next(job: RunningJob, payload: JobEnded) -> None:
    """Dispatch a job that has follow-ups."""
    job.dispatch("followed_once", {}, key="next")


class Failed(BaseModel):
    """An end of a job that has failed."""

    status: Literal["failed"]


def note_failed(job: RunningJob, payload: Failed) -> None:
    """Take the end of a job that has failed."""


def note_wish(job: RunningJob, payload: Wish) -> None:
    """Take a payload that no end of a job is."""


_BOTH: dict[str, Any] = {"on_end": "note_end", "on_failure": "note_failure"}
JOBS = {
    "note_end": Job(note_end, queue_name="notes", retry=Retry(max_attempts=5), on_end="note_end"),
    "note_failure": Job(note_failure),
    "note_wish": Job(note_wish),
    "dispatch_next": Job(dispatch_next),
    "note_failed": Job(note_failed),
    "note_once": Job(note_end, unique=Unique(by=())),
    "followed_once": Job(once, **_BOTH),
    "followed_again": Job(once, retry=Retry(max_attempts=3, base=2, cap=60), **_BOTH),
    "followed_failure": Job(once, on_failure="note_failure"),
    "followed_unique": Job(
        work, unique=Unique(by=("lot",), on_conflict="replace"), on_end="note_end"
    ),
}
__all__ = ["JOBS", "Lot", "Sample", "told"]
