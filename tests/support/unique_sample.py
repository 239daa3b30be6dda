"""Jobs for tests that are unique, each by another rule, and the work they have in common."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from job_runners.work import Job, Retry, RunningJob, Unique
from sample_work import script


class Lot(BaseModel):
    """What the work is about, and what is to be done with it."""

    model_config = ConfigDict(extra="forbid")

    lot: str = "a"
    text: str = ""


def work(job: RunningJob, payload: Lot) -> Any:
    """Do work that is unique."""
    script.jobs_run.append((job.id, job.attempt, job.invocation))
    script.texts_run.append(payload.text)
    script.job(job, payload)  # type: ignore[arg-type]
    return {"text": payload.text}


JOBS = {
    "unique_return": Job(work, unique=Unique(by=("lot",)), queues=("sample_slots", "sample_texts")),
    "unique_again": Job(
        work, retry=Retry(max_attempts=3, base=2, cap=60), unique=Unique(by=("lot",))
    ),
    "unique_refuse": Job(work, unique=Unique(by=("text",), on_conflict="refuse")),
    "unique_started": Job(
        work, unique=Unique(by=("lot",), until="started"), queues=("sample_slots",)
    ),
    "unique_replace": Job(
        work,
        unique=Unique(by=("lot",), on_conflict="replace", at_most=600),
        queues=("sample_slots", "sample_texts"),
    ),
    "unique_follow": Job(
        work,
        unique=Unique(by=("lot",), on_conflict="replace", then="again"),
        queues=("sample_texts",),
    ),
}
