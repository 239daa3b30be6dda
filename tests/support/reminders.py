"""What somebody has in a folder of their own: jobs that remind people, well and badly."""

from functools import partial
from typing import Any

import boto3
from pydantic import BaseModel

from job_runners import runners
from job_runners.runners.base import JobData
from job_runners.work import Job, Queue, Rate, Retry, RetryAfter, RunningJob, Task, WaitTimedOut

# What the fakes of a test set: the service that texts are sent by.
send: Any = None


class People(BaseModel):
    """Whom to remind."""

    names: list[str]


def remind(job: RunningJob, payload: People) -> dict[str, int]:
    """Remind each, once: in a step, under an idempotency key."""
    for done, name in enumerate(payload.names, start=1):
        job.step(name, partial(send, f"text to {name}", f"{job.id}/{name}"))
        job.checkpoint(done, progress=100 * done / len(payload.names))
    return {"reminded": len(payload.names)}


def remind_in_turns(job: RunningJob, payload: People) -> dict[str, int]:
    """Remind one in each turn."""
    start = job.cursor or 0
    for done, name in enumerate(payload.names[start:], start=start + 1):
        job.step(name, partial(send, f"text to {name}", f"{job.id}/{name}"))
        if done < len(payload.names):
            job.next_turn(done, progress=100 * done / len(payload.names))
    return {"reminded": len(payload.names)}


async def remind_async(job: RunningJob, payload: People) -> dict[str, int]:
    """Do the same in an event loop."""
    return remind(job, payload)


def remind_if_approved(job: RunningJob, payload: People) -> str:
    """Remind each once it is approved, after a night's sleep. The approval may come by a link."""
    job.sleep("night", 8 * 3600)
    url = job.signal_url("approve", text="Remind them?", timeout=24 * 3600)
    job.step("ask", partial(send, f"question with {url}", f"{job.id}/ask"))
    name, value = job.wait_for_any(["approve", "reject"], timeout=24 * 3600, label="answer")
    if name == "approve":
        remind(job, payload)
    return f"{name}: {value}"


def remind_before_it_waits(job: RunningJob, payload: People) -> str:
    """Ask for an approval again in each invocation."""
    send(f"question to {payload.names[0]}")
    return str(job.wait_for("approve", timeout=600))


def remind_between_waits(job: RunningJob, payload: People) -> str:
    """Ask for an approval after a pause, and again in the invocation after the answer."""
    job.sleep("pause", 60)
    send(f"question to {payload.names[0]}")
    name, _ = job.wait_for_any(["approve", "reject"], timeout=600, label="answer")
    return name


def remind_under_a_key(job: RunningJob, payload: People) -> None:
    """Remind each outside a step: only the service's memory of keys keeps it from a repetition."""
    for name in payload.names:
        send(f"text to {name}", f"{job.id}/{name}")
    job.checkpoint(len(payload.names))


def remind_if_soon(job: RunningJob, payload: People) -> bool:
    """Remind each if the approval comes within ten minutes."""
    try:
        job.wait_for("approve", timeout=600)
    except WaitTimedOut:
        return False
    remind(job, payload)
    return True


def remind_hastily(job: RunningJob, payload: People) -> dict[str, int]:
    """Remind each, and those after the last checkpoint again."""
    for done, name in enumerate(payload.names[job.cursor or 0 :], start=(job.cursor or 0) + 1):
        send(f"text to {name}")
        job.checkpoint(done)
    return {"reminded": len(payload.names)}


def remind_too_late(job: RunningJob, payload: People) -> dict[str, int]:
    """Say that one is reminded, and remind them then."""
    start = job.cursor or 0
    for done, name in enumerate(payload.names[start:], start=start + 1):
        job.checkpoint(done)
        send(f"text to {name}", f"{job.id}/{name}")
    return {"reminded": len(payload.names) - start}


def remind_nobody(job: RunningJob, payload: People) -> None:
    """Fail: nobody is on the list."""
    raise LookupError(f"no such list: {payload.names}")


def remind_when_it_can(job: RunningJob, payload: People) -> int:
    """Be asked to wait for an hour twice; then it works."""
    if not job.last_attempt:
        raise RetryAfter(3600)
    return job.attempt


def remind_for_ever(job: RunningJob, payload: People) -> None:
    """Dispatch itself, without an end."""
    job.dispatch("remind_for_ever", payload, key="again")


def remind_by_task(job: RunningJob, payload: People) -> None:
    """Have a task remind them: nothing keeps it from being lost, or from coming twice."""
    job.step("remind", partial(job.dispatch_task, "text", payload))


def text(payload: People) -> None:
    """Remind each."""
    for name in payload.names:
        send(f"text to {name}")


def note(payload: People) -> None:
    """Note who was reminded; nobody can't be noted."""
    if not payload.names:
        raise LookupError("nobody to note")


def read_own_table(job: RunningJob, payload: People) -> str:
    """Read what it has just written to a table of its own, consistently if the payload says so."""
    table = boto3.client("dynamodb")
    key = {"id": {"S": job.id}}
    table.put_item(TableName="counts", Item=key)
    consistent = payload.names == ["consistently"]
    found = table.get_item(TableName="counts", Key=key, ConsistentRead=consistent)
    return "found" if "Item" in found else "missed"


def count_in_own_table(job: RunningJob, payload: People) -> int:
    """Count the names in a table, with a client of boto3. A repetition counts them again."""
    answer = boto3.client("dynamodb").update_item(
        TableName="counts",
        Key={"id": {"S": "names"}},
        UpdateExpression="ADD so_far :names",
        ExpressionAttributeValues={":names": {"N": str(len(payload.names))}},
        ReturnValues="ALL_NEW",
    )
    return int(answer["Attributes"]["so_far"]["N"])


def invite(names: list[str]) -> str:
    """Dispatch a job and return its id: code of a product."""
    data = JobData(job_type="remind", payload={"names": names}, delay=3600)
    return runners.dispatch_job(data).id


AGAIN = Retry(max_attempts=3)
JOBS = {
    "remind_by_task": Job(remind_by_task, retry=Retry(max_attempts=2)),
    "remind": Job(remind, retry=AGAIN),
    "remind_async": Job(remind_async, retry=AGAIN),
    "remind_in_turns": Job(remind_in_turns, retry=AGAIN, queue_name="reminders"),
    "remind_hastily": Job(remind_hastily, retry=AGAIN),
    "remind_if_approved": Job(remind_if_approved, retry=AGAIN),
    "remind_between_waits": Job(remind_between_waits, retry=AGAIN),
    "remind_under_a_key": Job(remind_under_a_key, retry=AGAIN),
    "remind_if_soon": Job(remind_if_soon, retry=AGAIN),
    "remind_before_it_waits": Job(remind_before_it_waits, retry=AGAIN),
    "remind_hastily_once": Job(remind_hastily),
    "remind_too_late": Job(remind_too_late, retry=AGAIN),
    "remind_nobody": Job(remind_nobody),
    "remind_when_it_can": Job(remind_when_it_can, retry=AGAIN),
    "read_own_table": Job(read_own_table, retry=Retry(max_attempts=5)),
    "count_in_own_table": Job(count_in_own_table, retry=AGAIN),
    "remind_for_ever": Job(remind_for_ever),
}
QUEUES = {"reminders": Queue(slots=1, rate=Rate(1, seconds=5))}
TASKS = {"note": Task(note, retry=Retry(max_attempts=2)), "text": Task(text)}
