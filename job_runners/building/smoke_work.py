"""The jobs and tasks that `job-runners smoke` runs. Its project gets a copy of this file."""

# ruff: noqa: ARG001 - each function of a job or task has the same arguments
import os
import time

from pydantic import BaseModel

from job_runners.work import Job, Recurring, Retry, RunningJob, Task, Unique

MEMORY_MB = 256  # of the worker class "small"
TIMEOUT = 20  # of the worker class "small", in seconds
_cold_starts: list[str] = []  # the ids of note_cold_start's jobs in this process


class Nothing(BaseModel):
    """No payload."""


def succeed(job: RunningJob, payload: Nothing) -> str:
    """Succeed at once."""
    return "done"


def fail_once(job: RunningJob, payload: Nothing) -> int:
    """Fail in the first attempt."""
    if job.attempt == 1:
        raise RuntimeError("The first attempt of this job always fails.")
    return job.attempt


def take_seconds(job: RunningJob, payload: Nothing) -> None:
    """Take long enough for other jobs to wait if only one worker may run."""
    time.sleep(4)


def sleep(job: RunningJob, payload: Nothing) -> int:
    """Sleep without a worker."""
    job.sleep("nap", 5)
    return job.invocation


def crash(job: RunningJob, payload: Nothing) -> None:
    """End the worker's process, as Lambda does if memory runs out."""
    os._exit(1)


def return_function_name(job: RunningJob, payload: Nothing) -> str:
    """Return the name of the Lambda function that runs the job."""
    return os.environ["AWS_LAMBDA_FUNCTION_NAME"]


class Duration(BaseModel):
    """How long a job takes."""

    seconds: float = 0


def note_cold_start(job: RunningJob, payload: Duration) -> bool:
    """Return whether this is the first such job of its process."""
    is_cold = not _cold_starts
    _cold_starts.append(job.id)
    time.sleep(payload.seconds)
    return is_cold


def hang(job: RunningJob, payload: Nothing) -> None:
    """Compute until Lambda ends the process, because no signal interrupts this sum."""
    sum(range(10**15))


def fill_memory(job: RunningJob, payload: Nothing) -> int:
    """Use more memory than the worker class has, so that Lambda ends the process."""
    return len([b"x" * 2**20 for _ in range(2 * MEMORY_MB)])


def do_nothing(payload: Nothing) -> None:
    """Succeed at once. The log shows that the task has run."""


def fail(payload: Nothing) -> None:
    """Fail, so that the failed task is kept and an alarm goes off."""
    raise RuntimeError("This task always fails.")


JOBS = {
    "smoke_job": Job(succeed),
    "smoke_scheduled": Job(succeed),
    "smoke_retry": Job(fail_once, retry=Retry(max_attempts=2, base=1, cap=2)),
    "smoke_unique": Job(take_seconds, unique=Unique(by=())),
    "smoke_slow": Job(take_seconds),
    "smoke_sleep": Job(sleep),
    "smoke_follow": Job(succeed, on_end="smoke_job"),
    "smoke_crash": Job(crash),
    "smoke_class": Job(return_function_name, worker="small"),
    # For benchmarks/first_hour.py:
    "smoke_start": Job(note_cold_start),
    "smoke_many": Job(succeed),
    "smoke_timeout": Job(hang, worker="small"),
    "smoke_memory": Job(fill_memory, worker="small"),
}
TASKS = {"smoke_task": Task(do_nothing), "smoke_failing_task": Task(fail)}
RECURRING = {"smoke_schedule": Recurring("smoke_scheduled", every=60, organization_id="default")}
