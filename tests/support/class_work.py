"""Jobs and tasks of worker classes, for tests. JOBS_PACKAGES names this module."""

from pydantic import BaseModel

from job_runners.work import Job, Retry, RetryAfter, RunningJob, Task


class What(BaseModel):
    """What the work does: nothing, or it fails once, ends its invocation, or has children."""

    kind: str = ""


def work(job: RunningJob, payload: What) -> str:
    """Do the work of a job."""
    if payload.kind == "fails" and job.attempt == 1:
        raise RetryAfter(1, "busy")
    if payload.kind == "parent" and job.cursor is None:
        for job_type in ("large", "tiny", "default"):
            job.dispatch(job_type, {}, key=job_type)
    return "done"


def note(payload: What) -> None:
    """Do the work of a task."""
    if payload.kind == "fails":
        raise RetryAfter(1, "busy")


_AGAIN = Retry(max_attempts=3, base=1, cap=1)
JOBS = {
    "default": Job(work, retry=_AGAIN),
    "large": Job(work, retry=_AGAIN, worker="large"),
    "tiny": Job(work, retry=_AGAIN, worker="tiny"),
    "lost": Job(work, worker="gone"),  # of a class that no function has
}
TASKS = {
    "default_note": Task(note, retry=_AGAIN),
    "large_note": Task(note, retry=_AGAIN, worker="large"),
    "large_note_once": Task(note, worker="large"),
    "tiny_note": Task(note, retry=_AGAIN, worker="tiny"),
}
