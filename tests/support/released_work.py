"""The jobs and tasks of recorded releases, added from outside as an organization adds its own.

Tests run each release with it, so it imports only names that all of them have.
"""

from typing import Any

from pydantic import BaseModel, Field

from job_runners.work import DoNotRetry, Job, Member, Retry, RunningJob, Task, WaitTimedOut


class Count(BaseModel):
    """How far to count, and what happens on the way."""

    to: int = Field(default=3, ge=0)
    fails: bool = False
    breaks: bool = False  # in its first attempt
    result_size: int = 0
    ballast: str = ""


def count(job: RunningJob, payload: Count) -> dict[str, Any]:
    """Count from the cursor on; the first number is a step of its own, with a child beside it."""
    first = job.step("first", lambda: {"at": "first", "ballast": payload.ballast})
    child = job.dispatch("released_child", {"to": 1}, key="child")
    for number in range(job.cursor or 0, payload.to):
        job.checkpoint(number + 1, progress=100 * number / payload.to, message=f"at {number + 1}")
    if payload.breaks and job.attempt == 1:
        raise OSError("out of order")
    if payload.fails:
        raise DoNotRetry("told to fail")
    return {"counted": job.cursor, "first": first["at"], "child": child}


def once(job: RunningJob, payload: Count) -> dict[str, Any]:
    """Do what must not happen twice."""
    job.checkpoint(progress=50)
    if payload.fails:
        raise ValueError("told to fail")
    return {"done": True, "large": "".join(_noise(payload.result_size))}


def child(job: RunningJob, payload: Count) -> dict[str, Any]:
    """Do nothing, as somebody's child."""
    return {"to": payload.to}


class Ended(BaseModel):
    """What a follow-up is given."""

    job_id: str


def told(job: RunningJob, payload: Ended) -> dict[str, Any]:
    """Do nothing, as a follow-up."""
    return {"job": payload.job_id}


def sleeper(job: RunningJob, payload: Count) -> dict[str, Any]:
    """Sleep for an hour."""
    job.sleep("nap", 3600)
    return {"slept": True}


def waiter(job: RunningJob, payload: Count) -> dict[str, Any]:
    """Wait for a signal for an hour."""
    return {"approval": len(job.wait_for("approval", timeout=3600))}


def gatherer(job: RunningJob, payload: Count) -> dict[str, Any]:
    """Wait for two members."""
    results = job.gather("both", [Member("released_child", {"to": each}) for each in (1, 2)])
    return {"gathered": [each.status for each in results]}


def mixed(job: RunningJob, payload: Count) -> dict[str, Any]:
    """Wait for members that end in all ways."""
    members = [
        Member("released_unique", {"to": 1}),  # another job does this work
        Member("released_refusing", {"to": 1}),  # another job keeps this one out
        Member("released_count", {"fails": True}),
        *(Member("released_child", {"to": each}) for each in (1, 2)),
    ]
    results = job.gather("mixed", members, stop_after_failures=payload.to)
    return {"gathered": [each.status for each in results]}


def asker(job: RunningJob, payload: Count) -> dict[str, Any]:
    """Ask a person, and wait for the first of two signals for an hour."""
    job.signal_url("consent", text="May it be sent?", choices=("yes", "no"), timeout=3600)
    try:
        name, value = job.wait_for_any(("consent", "withdrawal"), timeout=3600, label="first")
    except WaitTimedOut:
        name, value = "nobody", None
    job.checkpoint(1)
    return {"by": name, "value": value}


def patient(job: RunningJob, payload: Count) -> dict[str, Any]:
    """Go on without the approval after an hour."""
    try:
        job.wait_for("approval", timeout=3600)
    except WaitTimedOut:
        job.checkpoint(1)
        return {"approved": False}
    return {"approved": True}


def filer(job: RunningJob, payload: Count) -> dict[str, Any]:
    """Copy an uploaded file in two invocations."""
    if job.cursor is None:
        uploaded = job.read_file("uploads/acme/orders.csv")
        job.checkpoint(job.write_file(job.work_file("orders.csv"), uploaded))
    copied = job.read_file(job.cursor)
    return {"file": job.write_file(job.result_file("orders.csv"), copied)}


def note(payload: Count) -> None:
    """Fail if told to."""
    if payload.fails:
        raise ValueError("told to fail")


def _noise(size: int) -> list[str]:
    """Text that does not compress much: a large result has to be stored apart."""
    return [f"{number * 2654435761 % 2**32:08x}" for number in range(size // 8)]


JOBS = {
    "released_count": Job(count, retry=Retry(max_attempts=3)),
    "released_once": Job(once),
    "released_child": Job(child, retry=Retry(max_attempts=2)),
    "released_paused": Job(child, queue_name="released_queue"),
    "released_told": Job(told),
    "released_sleeper": Job(sleeper),
    "released_waiter": Job(waiter),
    "released_gatherer": Job(gatherer),
    "released_mixed": Job(mixed),
    "released_asker": Job(asker),
    "released_patient": Job(patient),
    "released_filer": Job(filer),
}
TASKS = {"released_note": Task(note, retry=Retry(max_attempts=3))}
