"""The transitions of a job that starts or runs: claim, checkpoint, renew.

Before a worker runs a job in a Lambda invocation, it *claims* the job. The row then has the claim's
token, and a *lease*, which expires when the invocation must have ended. To start, a job of a queue
with limits needs *capacity*: a slot, a start under the queue's rate, or both. A *grant* is the
capacity that a job may take. The row is *due* when the timer function must check it.
"""

import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from job_runners import clock
from job_runners.aws.errors import AWS_ERRORS
from job_runners.errors import PreconditionFailed
from job_runners.store import conditional_write
from job_runners.store.conditional_write import Change
from job_runners.store.job_request import ROW_VERSION, JobRequest, Lane, Status
from job_runners.store.transactions import RaceLost, RecordWrite
from job_runners.store.transitions.checking import postpone
from job_runners.store.transitions.ending import Checkpoint, checkpoint_actions

if TYPE_CHECKING:
    from job_runners.store.lines import Grant

# Two machines' clocks may differ by this much, so a lease expires this long after the deadline.
SKEW = clock.MINUTE
# If a row has been due for longer than this, which is two timer runs, the timer can't keep up.
_OVERDUE = 2 * clock.MINUTE
# A worker may claim a row this long before run_at, because SQS rounds delays and clocks differ.
CLAIM_TOLERANCE = 2 * clock.SECOND


class Entrance(NamedTuple):
    """What else must happen in the write that claims a job.

    The claim may have to take capacity, or to give up the job's unique key. Most jobs need no
    entrance, because their queue has no limits, and they give up no unique key.
    """

    row: JobRequest  # the row as read before the claim, which is refused if the row has changed
    concurrency_key: str | None = None  # the key of the job's line, if its queue has limits
    # The capacity to take with the claim. None if the queue has no limits, or if the job already
    # got its capacity when it was admitted.
    grant: "Grant | None" = None
    gives_up_unique_key: bool = False  # whether the job keeps its unique key only until it starts


def claim(
    job_id: str,
    *,
    job_type: str,
    send_id: str,
    deadline: int,
    token: str | None = None,
    entrance: Entrance | None = None,
) -> Change:
    """Claim a job for an invocation that ends by `deadline`. The row doesn't have to be read first.

    - `send_id`: the id of the message that led to the claim
    - `token`: the token of an earlier call that failed. If only its response was lost, the row
      has this token.
    - `entrance`: what the same transaction must also do, such as to take capacity

    If this process dies, the timer must check the row soon after the lease expires. Usually, the
    row's `due_at` is early enough. Otherwise, it is set to the end of the lease: in the claim
    itself if there is an entrance, or else in a second write.

    Raises PreconditionFailed unless the job has this type and may start now, which means that it is
    queued or its start time has come. Also raises it if the row's version is newer than this code,
    or if the entrance's row has changed. Raises RaceLost if another job got the granted capacity in
    the meantime.
    """
    now = clock.now()
    token = token or uuid.uuid4().hex
    lease_until = deadline + SKEW
    job = JobRequest(id=job_id)
    condition = _claimable(job_type, now)
    actions = _claim_actions(token, send_id, lease_until, now)
    more_writes: Sequence[RecordWrite] = ()
    if entrance is not None:
        condition &= conditional_write.unchanged(entrance.row)
        entrance_actions, more_writes = _entrance_changes(entrance, lease_until)
        actions += entrance_actions

    def has_this_claim(row: JobRequest) -> bool:
        # It isn't enough to compare the token, because it stays in the row when the claim ends.
        return row.status is Status.RUNNING and row.claim_token == token

    def write(actions: list[Action], more_writes: Sequence[RecordWrite]) -> Change:
        return conditional_write.write(
            "claim",
            job,
            actions,
            condition,
            already_applied=has_this_claim,
            more_writes=more_writes,
        )

    if entrance is not None and entrance.gives_up_unique_key:
        change = _claim_without_unique_key(entrance.row, actions, more_writes, write)
    else:
        change = write(actions, more_writes)
    # After a transaction, the row is read separately. By then, the job may have another claim.
    if not has_this_claim(change.after):
        raise conditional_write.refusal_error("claim", job_id, change.after)
    return _make_due_by_lease_end(change)


def _claimable(job_type: str, now: int) -> Condition:
    """Return the condition that a worker with this code may claim a row now."""
    condition: Condition = (
        (JobRequest.row_version <= ROW_VERSION)
        # A later job of another type may have the same derived id.
        & (JobRequest.job_type == job_type)
        & (
            (JobRequest.status == Status.QUEUED)
            | (
                JobRequest.status.is_in(Status.SCHEDULED, Status.RETRYABLE)
                & (JobRequest.run_at <= now + CLAIM_TOLERANCE)
            )
        )
    )
    return condition


def _claim_actions(token: str, send_id: str, lease_until: int, now: int) -> list[Action]:
    """Return the actions that claim a row. pynamodb writes `|` as `if_not_exists`."""
    return [
        JobRequest.status.set(Status.RUNNING),
        JobRequest.claim_token.set(token),
        # The ids of the job's children depend on the salt, which stays the same after the first
        # claim.
        JobRequest.salt.set(JobRequest.salt | token[:16]),
        JobRequest.send_id.set(send_id),
        JobRequest.lease_until.set(lease_until),
        # Releases and manual retries lower `invocations`, but never `claims`.
        JobRequest.invocations.set(JobRequest.invocations + 1),
        JobRequest.claims.set(JobRequest.claims + 1),
        JobRequest.started_at.set(now),
        JobRequest.attempt_started_at.set(JobRequest.attempt_started_at | now),
        JobRequest.admitted_at.remove(),
        JobRequest.updated_at.set(now),
    ]


def _entrance_changes(
    entrance: Entrance, lease_until: int
) -> tuple[list[Action], Sequence[RecordWrite]]:
    """Return the actions and the other writes that a claim needs because of its entrance."""
    actions: list[Action] = []
    more_writes: Sequence[RecordWrite] = ()
    if entrance.grant is not None:
        # Imported here because most queues have no limits.
        from job_runners.store.transitions import holding

        grant_actions, more_writes = holding.grant_changes(entrance.row, entrance.grant)
        actions += grant_actions
        actions += holding.starts_under_rate_actions(entrance.row, entrance.grant)
    if not _is_checked_in_time(entrance.row.due_at, lease_until):
        actions += conditional_write.due_actions(entrance.row, lease_until, Lane.PROMPT)
    if entrance.concurrency_key is not None:
        actions.append(JobRequest.concurrency_key.set(entrance.concurrency_key))
    return actions, more_writes


def _claim_without_unique_key(
    row: JobRequest,
    actions: list[Action],
    more_writes: Sequence[RecordWrite],
    write: Callable[[list[Action], Sequence[RecordWrite]], Change],
) -> Change:
    """Claim a row with `write`, and give up its unique key in the same transaction.

    DynamoDB refuses to give up the key if another job waits for it, or already has it. In this
    case, claim the row without that part. The transition that ends the job then gives up the key.
    """
    from job_runners.store import uniqueness  # imported here because most jobs have no key

    key_writes = [*more_writes, *uniqueness.writes_to_release_key(row)]
    try:
        return write([*actions, JobRequest.unique_key.remove()], key_writes)
    except RaceLost:
        # If one of `more_writes` was refused instead of the key, this raises RaceLost again.
        return write(actions, more_writes)


def _make_due_by_lease_end(change: Change) -> Change:
    """Make a claimed row due when its lease expires, unless the timer checks it by then."""
    row = change.after
    lease_until = row.lease_until or 0
    if _is_checked_in_time(row.due_at, lease_until):
        return change
    try:
        postponed = postpone(row, lease_until, Lane.PROMPT)
    except (PreconditionFailed, *AWS_ERRORS):
        return change  # the job is claimed and can run; at worst, the timer checks it late
    return change.__replace__(after=postponed.after)


def _is_checked_in_time(due_at: int | None, lease_until: int) -> bool:
    """Return whether the timer will check a row by the end of its lease.

    If there was a backlog, the timer may have postponed the row beyond the end of the lease. And if
    the row is long overdue, the timer can't keep up, so it may not check the row in time either.
    """
    earliest = clock.now() - _OVERDUE
    return earliest <= (due_at or 0) <= lease_until


def checkpoint(job: JobRequest, new_checkpoint: Checkpoint) -> Change:
    """Record a running job's progress. Raises PreconditionFailed if its claim is lost.

    The new row shows whether a caller has asked the job to stop.
    """
    return conditional_write.write(
        "checkpoint",
        job,
        [*checkpoint_actions(new_checkpoint), JobRequest.updated_at.set(clock.now())],
        conditional_write.owned_by_claim(job),
        already_applied=None,  # the condition still holds after the write, so a repetition succeeds
    )


def renew(job: JobRequest, lease_until: int) -> Change:
    """Extend a running job's lease, because its process is alive.

    `due_at` doesn't change. So the timer checks the row at the end of the old lease, finds the new
    one, and postpones the row. Raises PreconditionFailed if the job's claim is lost.
    """
    return conditional_write.write(
        "renew",
        job,
        [JobRequest.lease_until.set(lease_until)],
        conditional_write.owned_by_claim(job),
        already_applied=None,  # the condition still holds after the write, so a repetition succeeds
    )
