"""Jobs and tasks for tests. JOBS_PACKAGES names this module, as if it were a package."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from job_runners.work import Job, Queue, Rate, Retry, RunningJob, Task


class Sample(BaseModel):
    """What the sample work needs to know."""

    model_config = ConfigDict(extra="forbid")

    number: int = Field(default=1, ge=0, le=1000)
    text: str = ""


class Script:
    """What sample work does when it runs; tests replace it, and see what it was called with."""

    def __init__(self) -> None:
        self.broken: list[AssertionError] = []
        self.reset()

    def reset(self) -> None:
        """Do nothing but record."""
        self.job: Callable[[RunningJob, Sample], Any] = lambda job, payload: {"number": 1}
        self.task: Callable[[Sample], object] = lambda payload: None
        self.jobs_run: list[tuple[str, int, int]] = []  # id, attempt, invocation
        self.tasks_run: list[Sample] = []
        self.texts_run: list[str] = []

    @contextmanager
    def keeping_assertions(self) -> Iterator[None]:
        """Keep what an assert in the work raises: the engine takes it for the work's own error."""
        try:
            yield
        except AssertionError as error:
            self.broken.append(error)
            raise


script = Script()


def failing(payload: Sample) -> None:
    """Fail, as the function of a task."""
    raise ZeroDivisionError("no luck")


def once(job: RunningJob, payload: Sample) -> Any:
    """Do work that never runs twice."""
    script.jobs_run.append((job.id, job.attempt, job.invocation))
    with script.keeping_assertions():
        return script.job(job, payload)


def again(job: RunningJob, payload: Sample) -> Any:
    """Do work that may run up to three times."""
    return once(job, payload)


def note(payload: Sample) -> None:
    """Do a task that is not tried again."""
    script.tasks_run.append(payload)
    with script.keeping_assertions():
        script.task(payload)


def note_again(payload: Sample) -> None:
    """Do a task that is tried up to three times."""
    note(payload)


JOBS = {
    "sample_once": Job(once),
    "sample_again": Job(again, retry=Retry(max_attempts=3, base=2, cap=60)),
}
TASKS = {
    "sample_note": Task(note),
    "sample_note_unless_cut_off": Task(note_again, retry=Retry(max_attempts=3, interrupted=False)),
    "sample_note_again": Task(note_again, retry=Retry(max_attempts=3, base=2, cap=60)),
}
# Jobs are put into these by name: no job of others is in them.
QUEUES = {
    "sample_slots": Queue(slots=1),
    "sample_fair": Queue(slots=1, order="fair"),
    "sample_paced": Queue(rate=Rate(1, seconds=3600)),
    "sample_organizations": Queue(slots=1, per="organization_id"),
    "sample_campaigns": Queue(slots=1, per=("organization_id", "text")),
    "sample_texts": Queue(slots=1, per="text"),
}
