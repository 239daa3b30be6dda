"""A job that batches dispatch once all their members have ended, and what it was called with."""

from typing import Any

from pydantic import BaseModel

from job_runners.work import BatchEnded, Job, RunningJob

ENDED: list["Done"] = []


class Done(BaseModel):
    """What the job after a batch gets."""

    title: str = ""
    batch: BatchEnded


def done(job: RunningJob, payload: Done) -> Any:
    """Note the batch."""
    ENDED.append(payload)
    return payload.title


JOBS = {"batch_done": Job(done)}
