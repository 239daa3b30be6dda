"""The verbs of a job that waits in its function. They are imported only where they are needed.

The row keeps its last wait in `waits_for`. Older code doesn't remove it, so `current` returns it
only while the row's status and its other attributes show that the job still waits.
"""

from typing import Any

from pynamodb.expressions.update import Action

from job_runners import clock
from job_runners.store import conditional_write, holdings
from job_runners.store.job_request import WAITED_VERSION, JobRequest, Status
from job_runners.store.verbs.ending import Checkpoint, checkpoint_actions, write_or_stop
from job_runners.values import Value

TIME = "time"


class Wait(Value):
    """What a job waits for, in its function. Times are milliseconds since 1970."""

    kind: str
    names: list[str]
    since: int
    until: int

    @property
    def name(self) -> str:
        """Return its name, for people."""
        return self.names[0]

    def stored(self) -> dict[str, Any]:
        """Return the wait as the row keeps it."""
        return {
            "kind": self.kind,
            "names": self.names,
            "since": self.since,
            "until": self.until,
        }


def current(row: JobRequest) -> Wait | None:
    """Return the wait of a job in its function, or None if it doesn't wait there."""
    stored = row.waits_for
    if not stored:
        return None
    wait = Wait(stored["kind"], stored["names"], stored["since"], stored["until"])
    sleeps = row.status is Status.SCHEDULED and wait.kind == TIME and row.run_at == wait.until
    return wait if sleeps else None


def sleep(
    job: JobRequest, name: str, *, until: int, due_at: int, reached: Checkpoint
) -> JobRequest:
    """End a leg of a running job that waits until a time. It continues then, in another leg.

    The job gives up its slot. The time that it waits doesn't count against its time limits. If no
    message starts it, the timer checks it at `due_at`. If its owner has asked it to stop, it is
    stopped instead: the returned row is then canceled.
    """
    now = clock.now()
    actions = [
        *conditional_write.scheduled(job, due_at),
        JobRequest.run_at.set(until),
        *conditional_write.without_capacity(),
        *_waited(job, Wait(TIME, [name], now, until)),
        *checkpoint_actions(reached),
    ]
    if job.attempt_started_at is not None:
        actions.append(JobRequest.attempt_started_at.set(job.attempt_started_at + until - now))
    condition = conditional_write.owned_by_claim(job) & conditional_write.no_cancel_requested()
    return write_or_stop(
        job,
        lambda: holdings.write_freeing(
            "sleep",
            job,
            actions,
            condition,
            already_applied=lambda row: (
                row.status is Status.SCHEDULED and row.claim_token == job.claim_token
            ),
            release=holdings.Release.all_but_key(job),
        ),
        reached=reached,
    )


def _waited(job: JobRequest, wait: Wait) -> list[Action]:
    """Return the actions that record a wait. The leg that it ends doesn't count as a leg.

    Code that doesn't know waits would count the leg, so it must not claim the row.
    """
    return [
        JobRequest.waits.set((job.waits or 0) + 1),
        JobRequest.waits_for.set(wait.stored()),
        *conditional_write.raise_version(job, WAITED_VERSION),
    ]
