"""The *acts* of a job's callers: who dispatched, replaced, canceled or retried it, and when.

The row has only the last act of each kind, and a manual retry removes a cancel from it. So the
retry's transaction also writes an item that records the retry and the cancel. It is stored next to
the results of the job's steps.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from job_runners import clock
from job_runners.store import blobs, steps
from job_runners.store.job_request import JobRequest, new_id
from job_runners.store.transactions import RecordWrite

PREFIX = "act "  # the prefix of the names of these items


class Act(NamedTuple):
    """What a caller did to a job."""

    at: int  # in milliseconds since 1970
    what: str  # "dispatched", "replaced", "canceled" or "retried"
    by: str | None
    claims: int = 0  # how often the job had been claimed before a manual retry
    rerun_of: str | None = None  # the id of the finished job that this dispatch continues


def retry_write(job: JobRequest, by: str | None) -> RecordWrite:
    """Return the write that records a manual retry, and the cancel that the retry clears."""
    now = clock.now()
    act = {
        "at": now,
        "by": by,
        "claims": job.claims,
        "canceled_at": job.cancel_asked_at,
        "canceled_by": job.canceled_by,
    }
    # The random id separates two retries in the same millisecond.
    name = f"{PREFIX}{now:015d}{new_id()}"
    packed = blobs.compressed(blobs.compact_json(act))
    return RecordWrite(steps.new_job_record(job, name, packed), "put")


def of_job(job: JobRequest, retries: Iterable[dict[str, Any]]) -> list[Act]:
    """Return a job's acts in chronological order. `retries` are the stored manual retries."""
    rerun_of = (job.rerun_of or {}).get("id")
    acts = [Act(job.created_at, "dispatched", job.created_by, rerun_of=rerun_of)]
    if job.replaced_at is not None:
        acts.append(Act(job.replaced_at, "replaced", job.replaced_author))
    for retry in retries:
        if retry["canceled_at"] is not None:
            acts.append(Act(retry["canceled_at"], "canceled", retry["canceled_by"]))
        acts.append(Act(retry["at"], "retried", retry["by"], retry["claims"]))
    if job.cancel_asked_at is not None:
        acts.append(Act(job.cancel_asked_at, "canceled", job.canceled_by))
    return sorted(acts, key=lambda act: act.at)
