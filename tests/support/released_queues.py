"""Queues with limits for the jobs of recorded releases, work in turns, unique work, a schedule."""

from typing import Any

from job_runners.work import Job, Queue, Rate, Recurring, Retry, RunningJob, Task, Unique
from released_work import Count, child


def in_turns(job: RunningJob, payload: Count) -> dict[str, Any]:
    """Count one in each turn."""
    done = job.cursor or 0
    if done < payload.to:
        job.next_turn(done + 1)
    return {"counted": done}


def keep_failing(payload: Count) -> None:
    """Fail."""
    raise ValueError("told to fail")


JOBS = {
    "released_turns": Job(in_turns, queue_name="released_pace"),
    "released_line": Job(child, queue_name="released_line", retry=Retry(max_attempts=2)),
    "released_unique": Job(child, unique=Unique(by=("to",)), retry=Retry(max_attempts=2)),
    "released_refusing": Job(child, unique=Unique(by=("to",), on_conflict="refuse")),
    "released_replaced": Job(
        child,
        unique=Unique(by=("ballast",), on_conflict="replace", then="again"),
        retry=Retry(max_attempts=2),
    ),
    "released_fair": Job(child, queue_name="released_fair", retry=Retry(max_attempts=2)),
}
TASKS = {"released_failing": Task(keep_failing)}
QUEUES = {
    "released_line": Queue(slots=1),
    "released_fair": Queue(slots=1, per=("organization_id", "to"), order="fair"),
    "released_invocations": Queue(slots=2),
    "released_pace": Queue(rate=Rate(1, seconds=60)),
}
RECURRING = {
    "declared": Recurring(
        "released_child",
        organization_id="acme",
        payload={"to": 1},
        cron="30 3 * * 1",
        timezone="Europe/Berlin",
    )
}
