"""A job that notes when it begins, for as long as it is told to take, and a task that does nothing.
"""

import os
import time
from pathlib import Path

from pydantic import BaseModel

from work import RunningJob


class Work(BaseModel):
    """What the work is about, where it notes that it has begun, and how long it takes."""

    name: str
    notes: str = ""  # a file, or nothing
    seconds: float = 0


def note(job: RunningJob, payload: Work) -> dict[str, str]:
    """Note the time and the process, then take the time it should take."""
    if payload.notes:
        with Path(payload.notes).open("a") as notes:
            notes.write(f"{time.time()} {os.getpid()} {payload.name}\n")
    if payload.seconds:
        time.sleep(payload.seconds)
    return {"name": payload.name}


def take(payload: Work) -> None:
    """Do nothing."""
