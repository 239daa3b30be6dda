"""What callers did with a job: dispatched, replaced, canceled and retried it.

The row has the last of each. A manual retry clears some of it, so the same transaction stores that
among the job's steps.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from job_runners import clock
from job_runners.store import blobs, steps
from job_runners.store.job_request import JobRequest, new_id
from job_runners.store.transactions import RecordWrite

PREFIX = "act "  # the prefix of the name of an item about a manual retry


class Act(NamedTuple):
    """An act of a caller, at a time in milliseconds since 1970.

    `claims` is how often the job had been claimed before a manual retry. `rerun_of` is the job that
    a new one continues.
    """

    at: int
    what: str
    by: str | None
    claims: int = 0
    rerun_of: str | None = None


def retry_write(job: JobRequest, by: str | None) -> RecordWrite:
    """Return the write that stores a manual retry of a finished job, and what it clears."""
    now = clock.now()
    act = {
        "at": now,
        "by": by,
        "claims": job.claims,
        "canceled_at": job.cancel_asked_at,
        "canceled_by": job.canceled_by,
    }
    # Two retries may come in one millisecond, with a cancel in between.
    name = f"{PREFIX}{now:015d}{new_id()}"
    packed = blobs.compressed(blobs.compact_json(act))
    return RecordWrite(steps.new_job_record(job, name, packed), "put")


def of_job(job: JobRequest, stored: Iterable[dict[str, Any]]) -> list[Act]:
    """Return a job's acts in order, from its row and the `stored` ones."""
    source = (job.rerun_of or {}).get("id")
    found = [Act(job.created_at, "dispatched", job.created_by, rerun_of=source)]
    if job.replaced_at is not None:
        found.append(Act(job.replaced_at, "replaced", job.replaced_author))
    for each in stored:
        if each["canceled_at"] is not None:
            found.append(Act(each["canceled_at"], "canceled", each["canceled_by"]))
        found.append(Act(each["at"], "retried", each["by"], each["claims"]))
    if job.cancel_asked_at is not None:
        found.append(Act(job.cancel_asked_at, "canceled", job.canceled_by))
    return sorted(found, key=lambda act: act.at)
