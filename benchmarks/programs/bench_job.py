"""The measured jobs and the measured task."""

import os

from pydantic import BaseModel

from job_runners.work import RunningJob


class Greeting(BaseModel):
    """The person to greet."""

    name: str
    times: int = 1


def typed(job: RunningJob, payload: Greeting) -> None:
    """End the process, with exit code 0 only if the job got the dispatched payload."""
    os._exit(0 if (job.id, payload.times) == ("0" * 32, 3) else 1)


def note(job: RunningJob, payload: Greeting) -> dict[str, str]:  # noqa: ARG001
    """Return the name."""
    return {"name": payload.name}


def take(payload: Greeting) -> None:
    """Do nothing."""
