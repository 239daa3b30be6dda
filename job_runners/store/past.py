"""The past invocations of a job: when each could begin, began and ended, and how.

The row has the last few, packed into one attribute. The write that ends an invocation adds it, so
that costs no request. Once that attribute is full, its entries move to an item among the job's
steps.
"""

from collections.abc import Iterable
from struct import Struct
from typing import Any, NamedTuple

from pynamodb.expressions.update import Action

from job_runners import clock
from job_runners.aws.errors import AWS_ERRORS, retry_on_conflict
from job_runners.store.job_request import JobRequest, Status

PREFIX = "invocations "  # the prefix of the name of an item with entries that were moved
SUCCEEDED = "succeeded"
FAILED = "failed"  # the attempt failed
CANCELED = "canceled"
CONTINUED = "continued"  # the invocation's time was over, and the job continues in another one
SLEPT = "slept"
WAITED = "waited"  # for a signal
GATHERED = "gathered"  # waited for a group
PAUSED = "paused"
YIELDED = "yielded"  # went to the end of its line
RELEASED = "released"  # the function was not called
LOST = "lost"  # the worker was killed
# A stored entry has the index of its outcome, so only append to this.
OUTCOMES = (
    *(SUCCEEDED, FAILED, CANCELED, CONTINUED, SLEPT, WAITED, GATHERED, PAUSED, YIELDED),
    *(RELEASED, LOST),
)
_FULL = 4  # entries
_MOST = 12  # entries that the row keeps while they can't be moved
# The claim, the attempt, the index of the outcome, when it could begin, and how long it waited for
# a worker and then ran. Times are in milliseconds.
_ENTRY = Struct(">IHBQII")


class PastInvocation(NamedTuple):
    """An invocation that has ended. Times are in milliseconds since 1970."""

    claim: int
    attempt: int
    outcome: str
    ready_at: int
    began_at: int
    ended_at: int


def end_actions(job: JobRequest, outcome: str) -> list[Action]:
    """Return the action that adds the current invocation of a running job to its past ones.

    The last sign of life counts as the end of a lost one. A job that isn't running has no
    invocation. If the attribute is full, its entries are moved first.
    """
    if job.status is not Status.RUNNING:
        return []
    return [JobRequest.past.set(_without_moved(job) + _pack(job, outcome))]


def of_row(job: JobRequest) -> list[PastInvocation]:
    """Return the past invocations that the row has."""
    return unpack(job.past)


def unpack(entries: bytes | None) -> list[PastInvocation]:
    """Return packed invocations."""
    found = []
    for claim, attempt, index, ready, waited, ran in _ENTRY.iter_unpack(entries or b""):
        began = ready + waited
        found.append(PastInvocation(claim, attempt, OUTCOMES[index], ready, began, began + ran))
    return found


def merge(entries: Iterable[PastInvocation]) -> list[PastInvocation]:
    """Return the invocations in order, each once: entries of the row may have been moved too."""
    return sorted({each.claim: each for each in entries}.values())


def _pack(job: JobRequest, outcome: str) -> bytes:
    began: Any = job.started_at
    ready = min(job.could_run_at, began)
    end = job.updated_at if outcome == LOST else None
    ran = max(0, (clock.now() if end is None else end) - began)
    longest = 2**32 - 1
    waited = min(began - ready, longest)
    attempt = min(job.attempt, 2**16 - 1)
    fields = (job.claims, attempt, OUTCOMES.index(outcome), began - waited)
    return _ENTRY.pack(*fields, waited, min(ran, longest))


def _without_moved(job: JobRequest) -> bytes:
    """Return the entries that stay in the row. Move them if there are too many.

    If they can't be moved, they stay, so that the invocation ends anyway.
    """
    entries = job.past or b""
    if len(entries) < _FULL * _ENTRY.size:
        return entries
    from job_runners.store import steps  # imported here because most jobs have few invocations

    item = steps.new_job_record(job, f"{PREFIX}{unpack(entries)[-1].claim:06d}", entries)
    try:
        # The same entries have the same key, so a repeated write changes nothing.
        retry_on_conflict(item.save)
    except AWS_ERRORS:
        return entries[-(_MOST - 1) * _ENTRY.size :]
    return b""
