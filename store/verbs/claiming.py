"""The verbs of a job that is claimed and runs: claim, checkpoint, renew."""

import uuid
from collections.abc import Callable, Sequence
from typing import NamedTuple

from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

import clock
from aws.errors import AWS_ERRORS
from errors import PreconditionFailed
from store import conditional_write
from store.job_request import LIMITED, ROW_VERSION, JobRequest, Lane, Status
from store.lines import Grant
from store.transactions import RaceLost, RecordWrite
from store.verbs.checking import postpone
from store.verbs.ending import Checkpoint, checkpointed
from store.verbs.parking import counted_start, room_given

# Clocks of two machines may differ by this much: a lease outlives its invocation by it.
SKEW = clock.MINUTE
# A row that has been due for longer than two ticks: the timer has more to do than it can.
_OVERDUE = 2 * clock.MINUTE
# A claim this much before run_at is in time: SQS rounds delays, clocks drift.
CLAIM_TOLERANCE = 2 * clock.SECOND


class Entrance(NamedTuple):
    """How a job is claimed whose row was read before.

    In a queue with limits it has the key of its line, and what it is given there; None if its row
    says that it was let on before. One that `gives_up_key` holds its place as work that is unique
    until it is started.
    """

    row: JobRequest
    key: str | None = None
    grant: Grant | None = None
    gives_up_key: bool = False


def claim(
    job_id: str,
    *,
    job_type: str,
    send_id: str,
    deadline: int,
    token: str | None = None,
    entrance: Entrance | None = None,
) -> JobRequest:
    """Take a job that any worker may take. The response of the write is the read.

    `deadline` is when this invocation ends for certain. Call again with the same `token` if a call
    failed: it shows whether the earlier claim was written although its response was lost. Attempt
    and due_at stay as they are: if the claimer dies, the row is still due. Only if the timer might
    check the row long after its lease, due_at is moved to the end of that: by this write for a row
    that was read before, by a second one for others.
    A job of a queue with limits takes what its `entrance` was given in the same transaction.
    Raises PreconditionFailed unless the job is of this type, and is queued, or is scheduled or
    retryable and its time has come; also for a row of newer code, and one that is not as it was
    read. Raises RaceLost if somebody else was given meanwhile what this job was to get.
    """
    now, token, lease = clock.now(), token or uuid.uuid4().hex, deadline + SKEW
    job = JobRequest(id=job_id)
    condition, actions = _claimable(job_type, now), _claimed(token, send_id, lease, now)
    more_writes: Sequence[RecordWrite] = ()
    if entrance is not None:
        condition &= conditional_write.as_read(entrance.row)
        names_slot, more_writes = room_given(entrance.row, entrance.grant)
        actions += names_slot
        if entrance.grant is not None:
            actions += counted_start(entrance.row, entrance.grant)
        if not _is_checked_in_time(entrance.row.due_at, lease):
            actions += conditional_write.due(job, lease, Lane.PROMPT)
        if entrance.key is not None:
            actions.append(JobRequest.queue_key.set(entrance.key))
            actions += conditional_write.of_version(entrance.row, LIMITED)

    def is_ours(row: JobRequest) -> bool:
        # The token alone is not enough: a rescue leaves it, and has ended this claim.
        return row.status is Status.RUNNING and row.claim_token == token

    def write(actions: list[Action], more_writes: Sequence[RecordWrite]) -> JobRequest:
        return conditional_write.write_with(
            "claim", job, actions, condition, already_applied=is_ours, more_writes=more_writes
        )

    if entrance is not None and entrance.gives_up_key:
        row = _without_key(entrance.row, actions, more_writes, write)
    else:
        row = write(actions, more_writes)
    if not is_ours(row):  # read after a transaction: another claim may have followed by then
        raise conditional_write.refused("claim", job_id, row)
    return _watched(row)


def _claimable(job_type: str, now: int) -> Condition:
    """Return the condition that any worker of this version may take a row now."""
    condition: Condition = (
        (JobRequest.row_version <= ROW_VERSION)
        & (JobRequest.job_type == job_type)  # ids that were derived may have come to mean another
        & (
            (JobRequest.status == Status.QUEUED)
            | (
                JobRequest.status.is_in(Status.SCHEDULED, Status.RETRYABLE)
                & (JobRequest.run_at <= now + CLAIM_TOLERANCE)
            )
        )
    )
    return condition


def _claimed(token: str, send_id: str, lease: int, now: int) -> list[Action]:
    """Return what has a row run under a claim, until its lease is over."""
    return [
        JobRequest.status.set(Status.RUNNING),
        JobRequest.claim_token.set(token),
        JobRequest.send_id.set(send_id),
        JobRequest.lease_until.set(lease),
        JobRequest.legs.set(JobRequest.legs + 1),
        JobRequest.started_at.set(now),
        JobRequest.attempt_started_at.set(JobRequest.attempt_started_at | now),
        JobRequest.admitted_at.remove(),
        JobRequest.updated_at.set(now),
    ]


def _without_key(
    row: JobRequest,
    actions: list[Action],
    more_writes: Sequence[RecordWrite],
    write: Callable[[list[Action], Sequence[RecordWrite]], JobRequest],
) -> JobRequest:
    """Write a claim that gives up the key of a row. One that can't, because a job follows or the
    key is another's, leaves that to the job's end."""
    from store import uniqueness  # which most jobs do without

    given_up = [*more_writes, *uniqueness.given_up(row)]
    try:
        return write([*actions, JobRequest.unique_key.remove()], given_up)
    except RaceLost:
        return write(actions, more_writes)  # which is refused again, if it was not for the key


def _watched(row: JobRequest) -> JobRequest:
    """Return the row, due at the end of its lease if the timer may not check it by then."""
    lease = row.lease_until or 0
    if _is_checked_in_time(row.due_at, lease):
        return row
    try:
        return postpone(row, lease, Lane.PROMPT)
    except (PreconditionFailed, *AWS_ERRORS):
        return row  # the job is ours and can run; at worst the timer checks it late


def _is_checked_in_time(due_at: int | None, lease: int) -> bool:
    """Return whether the timer checks a row by the end of its lease.

    It does not if the check is later, because the row was in a backlog, or if it is overdue,
    because the timer is behind.
    """
    return clock.now() - _OVERDUE <= (due_at or 0) <= lease


def checkpoint(job: JobRequest, reached: Checkpoint) -> JobRequest:
    """Record how far a running job is. Raises PreconditionFailed if it is no longer ours.

    The row returned tells whether its owner has asked it to stop.
    """
    return conditional_write.write(
        "checkpoint",
        job,
        [*checkpointed(reached), JobRequest.updated_at.set(clock.now())],
        conditional_write.owned_by_claim(job),
        already_applied=lambda row: False,  # repeating it is harmless, so a refusal is a refusal
    )


def renew(job: JobRequest, lease_until: int) -> JobRequest:
    """Let a running job keep its claim until then: its process lives.

    due_at stays: the timer checks the row when the old lease would have ended, and postpones it.
    Raises PreconditionFailed if it is no longer ours.
    """
    return conditional_write.write(
        "renew",
        job,
        [JobRequest.lease_until.set(lease_until)],
        conditional_write.owned_by_claim(job),
        already_applied=lambda row: (
            row.claim_token == job.claim_token and row.lease_until == lease_until
        ),
    )
