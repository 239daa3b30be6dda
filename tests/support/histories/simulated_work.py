"""The work of a history: jobs and tasks that call the current history."""

import random
from typing import Any, Protocol

from pydantic import BaseModel, Field

from histories.declared_queues import LIMITED
from job_runners.work import Job, JobEnded, Retry, RunningJob, Task, Unique

# This text doesn't fit into a row, even compressed.
BALLAST = random.Random(0).randbytes(5_000).hex()


class Steps(BaseModel):
    """The payload of a job that takes steps, and may write a checkpoint after each.

    With ballast, it doesn't fit into a row. The job returns its payload as its result.
    """

    ballast: str = ""
    steps: int = Field(default=4, ge=0, le=50)
    seconds: float = Field(default=5, ge=0)
    checkpoints: bool = True
    named: bool = False  # each step is a job.step, and the first has a child
    turns: bool = False  # the job calls next_turn after each step
    sleeps: float = Field(default=0, ge=0)  # seconds for which the job sleeps after each step
    gathers: int = Field(default=0, ge=0, le=5)  # the members that the job waits for at first
    fails: bool = False  # the job usually fails
    awaits: str = ""  # the job waits for a signal after each step: "one", "any", or not at all
    lot: str = ""  # the key of unique work
    request: str = ""  # the request that asked for it; none in children


CHILD = Steps(steps=1)
# Members of groups, the last of which gathers itself.
MEMBERS = (
    Steps(steps=1, fails=True),
    Steps(steps=1, sleeps=2000),
    Steps(steps=2, named=True),
    Steps(steps=0, fails=True),
    Steps(steps=0, gathers=1),
)


class Errand(BaseModel):
    """The payload of a task that takes a while and writes a file."""

    seconds: float = Field(default=1, ge=0)


class Scene(Protocol):
    """The history in which the work runs."""

    def take_steps(self, job: RunningJob, payload: Steps) -> dict[str, Any]:
        """Do the work of a job, and return its result."""

    def run_errand(self, payload: Errand) -> None:
        """Do the work of a task."""

    def run_follow_up(self, job: RunningJob, payload: JobEnded) -> None:
        """Do the work of a follow-up."""


def enter(scene: Scene) -> None:
    """Run all work in this history from now on."""
    _Current.scene = scene


def take_steps(job: RunningJob, payload: Steps) -> dict[str, Any]:
    """Take steps under a hostile Lambda, which may make any of them fail."""
    return _scene().take_steps(job, payload)


def take_steps_again(job: RunningJob, payload: Steps) -> dict[str, Any]:
    """Do the same as take_steps, with a retry policy."""
    return _scene().take_steps(job, payload)


def run_errand(payload: Errand) -> None:
    """Take some time under a hostile Lambda, which may make it fail."""
    _scene().run_errand(payload)


def run_errand_again(payload: Errand) -> None:
    """Do the same as run_errand, with a retry policy."""
    _scene().run_errand(payload)


def run_follow_up(job: RunningJob, payload: JobEnded) -> None:
    """Do a follow-up's work under a hostile Lambda, which may make it fail."""
    _scene().run_follow_up(job, payload)


JOBS = {
    "hostile_once": Job(take_steps, max_invocations=5),
    "hostile_again": Job(
        take_steps_again,
        retry=Retry(max_attempts=3, base=5, cap=1200),
        max_invocations=4,
        worker="large",
    ),
}


# Unique by lot.
UNIQUE_JOBS = {
    "hostile_unique": Job(
        take_steps_again,
        max_invocations=4,
        retry=Retry(max_attempts=3, base=5, cap=1200),
        unique=Unique(by=("lot",)),
        worker="tiny",
    ),
    "hostile_started": Job(
        take_steps, max_invocations=5, unique=Unique(by=("lot",), until="started")
    ),
    "hostile_replaced": Job(
        take_steps,
        max_invocations=5,
        unique=Unique(by=("lot",), on_conflict="replace", at_most=300, then="again"),
    ),
}
JOBS |= UNIQUE_JOBS
# Both declare a follow-up of their own, but a job that runs as a follow-up gets none.
FOLLOW_UPS = {
    "hostile_noted": Job(
        run_follow_up, max_invocations=5, on_end="hostile_noted_again", queue_name=LIMITED
    ),
    "hostile_noted_again": Job(
        run_follow_up,
        max_invocations=4,
        retry=Retry(max_attempts=3, base=5, cap=1200),
        on_failure="hostile_noted",
    ),
}
JOBS |= FOLLOW_UPS


TASKS = {
    "hostile_errand_once": Task(run_errand, worker="tiny"),
    "hostile_errand_again": Task(
        run_errand_again, retry=Retry(max_attempts=3, base=5, cap=1200), worker="large"
    ),
}


class _Current:
    scene: Scene


def _scene() -> Scene:
    return _Current.scene
