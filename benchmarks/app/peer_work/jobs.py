"""A job that returns its name, and an empty task."""

from pydantic import BaseModel

from job_runners.work import RunningJob


class Work(BaseModel):
    """The payload."""

    name: str


def note(job: RunningJob, payload: Work) -> dict[str, str]:  # noqa: ARG001
    """Return the name."""
    return {"name": payload.name}


def take(payload: Work) -> None:
    """Do nothing."""
