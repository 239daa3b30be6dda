"""Jobs and tasks that are `async def`, added from outside; tests say what they do."""

from collections.abc import Awaitable, Callable
from typing import Any

from job_runners.work import Job, Retry, RunningJob, Task
from sample_work import Sample


class AsyncScript:
    """What the work does when it runs."""

    job: Callable[[RunningJob, Sample], Awaitable[Any]]
    task: Callable[[Sample], Awaitable[Any]]


async def once(job: RunningJob, payload: Sample) -> Any:
    """Do work that never runs twice."""
    return await AsyncScript.job(job, payload)


async def again(job: RunningJob, payload: Sample) -> Any:
    """Do work that may run up to three times."""
    return await AsyncScript.job(job, payload)


async def note(payload: Sample) -> None:
    """Do a task that is tried up to three times."""
    await AsyncScript.task(payload)


JOBS = {
    "async_once": Job(once),
    "async_again": Job(again, retry=Retry(max_attempts=3, base=2, cap=60)),
}
TASKS = {"async_note": Task(note, retry=Retry(max_attempts=3))}
