"""The past invocations of a job, for its timeline.

The row has the last few invocations as packed *entries* in one attribute. The write that ends an
invocation adds its entry, which costs no additional request. Once the attribute is full, its
entries move to an item among the job's steps.
"""

from collections.abc import Iterable
from enum import StrEnum
from struct import Struct
from typing import Any, NamedTuple

from pynamodb.expressions.update import Action

from job_runners import clock
from job_runners.aws.errors import AWS_ERRORS, retry_on_conflict
from job_runners.store.job_request import JobRequest, Status

PREFIX = "invocations "  # the prefix of the names of items with moved entries


class Outcome(StrEnum):
    """How an invocation ended.

    A stored entry has the index of its outcome, so append new outcomes at the end.
    """

    SUCCEEDED = "succeeded"
    FAILED = "failed"  # the attempt failed
    CANCELED = "canceled"
    CONTINUED = "continued"  # its time was nearly over, and the job continues in another invocation
    SLEPT = "slept"  # the job waits for a time
    WAITED = "waited"  # the job waits for a signal
    GATHERED = "gathered"  # the job waits for a group
    PAUSED = "paused"  # a pause holds the job
    YIELDED = "yielded"  # the job went to the end of its line
    RELEASED = "released"  # the function was not called
    LOST = "lost"  # the worker was killed


OUTCOMES = tuple(Outcome)

_FULL = 4  # with this many entries, the attribute is full
_MAX_ENTRIES = 12  # entries that the row keeps if they can't be moved
# An entry has the number of the claim, the attempt, the index of the outcome, and in milliseconds:
# the time at which the invocation could begin, how long it then waited for a worker, and how long
# it ran.
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

    A job that isn't running has no invocation, and needs no action. If the attribute is full, this
    moves its entries first.
    """
    if job.status is not Status.RUNNING:
        return []
    return [JobRequest.past.set(_make_room(job) + _pack(job, outcome))]


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
    """Return the invocations in order, each once. An entry may be both in the row and moved."""
    return sorted({invocation.claim: invocation for invocation in invocations}.values())


def _pack(job: JobRequest, outcome: Outcome) -> bytes:
    """Return the entry of the current invocation, which ends now."""
    began_at: Any = job.started_at
    last_sign_of_life: Any = job.updated_at
    ended_at = last_sign_of_life if outcome is Outcome.LOST else clock.now()
    waited = min(began_at - min(job.could_run_at, began_at), _MAX_32_BITS)
    return _ENTRY.pack(
        job.claims,
        min(job.attempt, _MAX_16_BITS),
        OUTCOMES.index(outcome),
        began_at - waited,
        waited,
        min(max(0, ended_at - began_at), _MAX_32_BITS),
    )


def _make_room(job: JobRequest) -> bytes:
    """Return the entries that stay in the row. If the attribute is full, move all of them.

    If AWS refuses that, the entries stay, so that the invocation can end anyway.
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
        return entries[-(_MAX_ENTRIES - 1) * _ENTRY.size :]
    return b""
