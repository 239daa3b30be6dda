"""A job with a payload model, which ends its process at its first line: nothing is left to do."""

import os

from pydantic import BaseModel

from work import RunningJob


class Greeting(BaseModel):
    """Says whom to greet."""

    name: str
    times: int = 1


def typed(job: RunningJob, payload: Greeting) -> None:
    """End the process, as a success only if the job was given what was dispatched."""
    os._exit(0 if (job.id, payload.times) == ("0" * 32, 3) else 1)
