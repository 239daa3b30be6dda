"""The past invocations of a job, for its timeline.

An ended invocation has an *entry* of a few bytes. The job's row has one attribute, `past`, that
contains the entries of the last few invocations. The write that ends an invocation also adds its
entry, so an entry costs no additional request. When the attribute is full, the entries move to an
item of their own, which is stored next to the results of the job's steps.
"""

from collections.abc import Iterable
from enum import StrEnum
from struct import Struct
from typing import Any, NamedTuple

from pynamodb.expressions.update import Action

from job_runners import clock
from job_runners.aws.errors import AWS_ERRORS, retry_on_conflict
from job_runners.store.job_request import JobRequest, Status

PREFIX = "invocations "  # the name of each item with moved entries begins with this


class Outcome(StrEnum):
    """How an invocation ended.

    An entry contains the index of its outcome, so add new outcomes only at the end.
    """

    SUCCEEDED = "succeeded"
    FAILED = "failed"  # the attempt failed
    CANCELED = "canceled"
    CONTINUED = "continued"  # its time was nearly over, and the job continues in another invocation
    SLEPT = "slept"  # the job waits for a time
    WAITED = "waited"  # the job waits for a signal
    GATHERED = "gathered"  # the job waits for a group
    PAUSED = "paused"  # a pause holds the job
    YIELDED = "yielded"  # the job waits again, so that other jobs of its queue go first
    RELEASED = "released"  # the function was not called
    LOST = "lost"  # the worker was killed


OUTCOMES = tuple(Outcome)

_MOVED_ENTRIES = 4  # when the row has this many entries, all of them move to an item
_MAX_ENTRIES = 12  # how many entries the row keeps if moving them fails
# The fields of an entry, in this order: the number of the claim, the attempt, the index of the
# outcome, the time at which the invocation could begin, how long it then waited for a worker, and
# how long it ran. The times are in milliseconds.
_ENTRY = Struct(">IHBQII")
_MAX_32_BITS = 2**32 - 1
_MAX_16_BITS = 2**16 - 1


class PastInvocation(NamedTuple):
    """An invocation that has ended. Times are in milliseconds since 1970."""

    claim: int  # the number of its claim
    attempt: int
    outcome: Outcome
    ready_at: int  # when a worker could have begun it
    began_at: int
    ended_at: int


def end_actions(job: JobRequest, outcome: Outcome) -> list[Action]:
    """Return the action that adds the current invocation of a running job to its past ones.

    If the row's attribute is full, this function first writes its entries to an item. A job that
    isn't running has no current invocation, so the list is empty.
    """
    if job.status is not Status.RUNNING:
        return []
    earlier_entries = _move_if_full(job)
    return [JobRequest.past.set(earlier_entries + _pack(job, outcome))]


def unpack(entries: bytes | None) -> list[PastInvocation]:
    """Return the invocations in packed entries."""
    invocations = []
    for claim, attempt, index, ready_at, waited, ran in _ENTRY.iter_unpack(entries or b""):
        began_at = ready_at + waited
        ended_at = began_at + ran
        invocations.append(
            PastInvocation(claim, attempt, OUTCOMES[index], ready_at, began_at, ended_at)
        )
    return invocations


def merge(invocations: Iterable[PastInvocation]) -> list[PastInvocation]:
    """Return the invocations in order, without duplicates.

    An entry may be both in the row and in an item, because these are written one after the other.
    """
    # The first field of an invocation is `claim`, so `sorted` orders them by it.
    return sorted({invocation.claim: invocation for invocation in invocations}.values())


def _pack(job: JobRequest, outcome: Outcome) -> bytes:
    """Return the entry of the current invocation, which ends now."""
    began_at: Any = job.started_at
    last_sign_of_life: Any = job.updated_at
    ended_at = last_sign_of_life if outcome is Outcome.LOST else clock.now()
    # The inner `min` makes sure that the wait isn't negative, as clocks of two machines may differ.
    waited = min(began_at - min(job.could_run_at, began_at), _MAX_32_BITS)
    return _ENTRY.pack(
        job.claims,
        min(job.attempt, _MAX_16_BITS),
        OUTCOMES.index(outcome),
        began_at - waited,
        waited,
        min(max(0, ended_at - began_at), _MAX_32_BITS),
    )


def _move_if_full(job: JobRequest) -> bytes:
    """Move a row's entries if the attribute is full. Return the entries that stay in the row.

    If the move fails, the entries stay in the row, so that the invocation can end anyway.
    """
    entries = job.past or b""
    if len(entries) < _MOVED_ENTRIES * _ENTRY.size:
        return entries
    from job_runners.store import steps  # imported here because most jobs have few invocations

    # The item's name depends only on the entries, so a repeated write changes nothing.
    last_claim = unpack(entries)[-1].claim
    item = steps.new_job_record(job, f"{PREFIX}{last_claim:06d}", entries)
    try:
        retry_on_conflict(item.save)
    except AWS_ERRORS:
        # Keep the newest entries, and leave room for the one that the caller adds.
        return entries[-(_MAX_ENTRIES - 1) * _ENTRY.size :]
    return b""
