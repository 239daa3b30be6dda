"""A job with a payload model. Measuring stops at its first line, which ends the process."""

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
