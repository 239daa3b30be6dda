"""A job that notes its start and takes as long as its payload says, and an empty task."""

import os
import time
from pathlib import Path

from pydantic import BaseModel

from job_runners.work import RunningJob


class Work(BaseModel):
    """The payload: a name, the file in which to note the start, and the time to take."""

    name: str
    notes: str = ""  # the path of a file, or empty for no note
    seconds: float = 0


def note(job: RunningJob, payload: Work) -> dict[str, str]:  # noqa: ARG001
    """Note the time and the process, then sleep as long as the payload says."""
    if payload.notes:
        with Path(payload.notes).open("a") as notes:
            notes.write(f"{time.time()} {os.getpid()} {payload.name}\n")
    if payload.seconds:
        time.sleep(payload.seconds)
    return {"name": payload.name}


def take(payload: Work) -> None:
    """Do nothing."""
