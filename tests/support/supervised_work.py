"""Jobs and tasks of a project that tests run on the local AWS. Its text is the package my_work."""

import os
import signal
import time

from pydantic import BaseModel

from job_runners.work import (
    DoNotRetry,
    Job,
    JobEnded,
    Member,
    Recurring,
    Retry,
    RunningJob,
    Task,
)


class Nothing(BaseModel):
    """No fields."""


class Seconds(BaseModel):
    """A time."""

    seconds: float = 0


class Items(BaseModel):
    """A number of items."""

    items: int = 3


class Key(BaseModel):
    """A file."""

    key: str


class Text(BaseModel):
    """A text."""

    text: str = ""


def greet(job: RunningJob, payload: Text) -> dict[str, object]:
    """Say when it began, and in which process."""
    print(f"hello {payload.text}")
    return {"started": time.time(), "process": os.getpid(), "text": payload.text}


def nap(job: RunningJob, payload: Seconds) -> None:
    """Sleep in one invocation."""
    time.sleep(payload.seconds)


def steps(job: RunningJob, payload: Nothing) -> int:
    """Take steps, with a sleep in between."""
    first: int = job.step("first", lambda: 20)
    job.sleep("pause", 1)
    second: int = job.step("second", lambda: 22)
    return first + second


def approve(job: RunningJob, payload: Nothing) -> object:
    """Wait for a signal."""
    return job.wait_for("approved", timeout=600)


def fan(job: RunningJob, payload: Items) -> list[object]:
    """Gather the results of others."""
    members = (Member("greet", {"text": str(number)}) for number in range(payload.items))
    return [each.value["text"] for each in job.gather("fan", members)]


def capitals(job: RunningJob, payload: Key) -> dict[str, str]:
    """Read a file, and write another one."""
    text = job.read_file(payload.key).decode().upper()
    return {"file": job.write_file(job.result_file("capitals.txt"), text)}


def followed(job: RunningJob, payload: Nothing) -> None:
    """End, so that another job follows."""


def told(job: RunningJob, payload: JobEnded) -> str:
    """Follow another job."""
    return payload.status


def killed(job: RunningJob, payload: Nothing) -> None:
    """End this process as the kernel does when memory runs out."""
    print("before the end")
    os.kill(os.getpid(), signal.SIGKILL)


def long_life(job: RunningJob, payload: Nothing) -> str:
    """Die twice, sleep, wait for a person, fan out, and fail until a person retries it."""
    job.step("charge", lambda: 20)
    if job.attempt < 3 and job.cursor is None:
        os.kill(os.getpid(), signal.SIGKILL)
    job.checkpoint("alive", durable=True)
    job.sleep("cool down", 2.5)
    job.wait_for("approval", timeout=600)
    job.dispatch("greet", {"text": "a child"}, key="export")
    job.gather("print", (Member("greet", {"text": str(number)}) for number in range(3)))

    def deliver() -> str:
        if job.attempt > 1:
            raise DoNotRetry("no luck")
        return "delivered"

    delivered: str = job.step("deliver", deliver)
    return delivered


def stuck(job: RunningJob, payload: Nothing) -> None:
    """Go on as if no time limit existed."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    time.sleep(1000)


def wrong(job: RunningJob, payload: Nothing) -> None:
    """Fail."""
    raise ValueError("no such number")


def ping(payload: Text) -> None:
    """Print a text."""
    print("ping", payload.text)


def fails(payload: Text) -> None:
    """Fail."""
    raise ValueError("the task is wrong")


JOBS = {
    "greet": Job(greet),
    "nap": Job(nap),
    "steps": Job(steps),
    "approve": Job(approve),
    "fan": Job(fan),
    "capitals": Job(capitals),
    "followed": Job(followed, on_end="told"),
    "told": Job(told),
    "killed": Job(killed),
    "stuck": Job(stuck),
    "wrong": Job(wrong),
    "long_life": Job(long_life, retry=Retry(max_attempts=3, base=0.2)),
}
TASKS = {"ping": Task(ping), "fails": Task(fails)}
RECURRING = {
    "minutely": Recurring(
        "greet", cron="* * * * *", organization_id="default", payload={"text": "from a schedule"}
    )
}
