"""How a verb changes a JobRequest: its precondition goes with the write, and no lost response
makes it land twice or look as if it had not.

A write whose response is lost is repeated by botocore and then fails its own condition. So a
refused verb reads the row once: if the row shows that this very write landed, that is success.
"""

from collections.abc import Callable
from secrets import SystemRandom
from typing import Any, TypeVar

from pynamodb.exceptions import PynamoDBException, TransactWriteError, UpdateError
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action
from pynamodb.models import Model
from pynamodb.transactions import TransactWrite

import clock
from aws.errors import condition_failed, conflicts
from errors import PreconditionFailed
from settings import settings
from store.job_request import JobRequest, Lane, Status, due_shard, sort_key
from store.queries import read

# How long a row waits before the timer looks whether its message arrived.
GRACE = clock.MINUTE

# Writes of one item that meet, one of them in a transaction: the loser tries again after up to this
# many seconds.
_CONFLICT_TRIES = 4
_CONFLICT_PAUSE = 0.1

_T = TypeVar("_T")


def write(
    verb: str,
    job: JobRequest,
    actions: list[Action],
    condition: Condition,
    *,
    already_applied: Callable[[JobRequest], bool],
) -> JobRequest:
    """Change the row if the condition holds, and return it as it is then.

    `already_applied` tells, of a row that refused, whether it shows this very write. Raises
    PreconditionFailed.
    """
    try:
        retry_on_conflict(lambda: job.update(actions, condition))
    except UpdateError as error:
        return _row_if_applied(verb, job, error, already_applied)
    return job


def write_with(
    verb: str,
    job: JobRequest,
    actions: list[Action],
    condition: Condition,
    *,
    already_applied: Callable[[JobRequest], bool],
    put: Model | None = None,
    drop: Model | None = None,
) -> JobRequest:
    """Write in one transaction with a record that is put and one that is dropped.

    As `write`, but the response carries no row, so it costs a read too.
    """

    def transact() -> None:
        with TransactWrite(connection=JobRequest.connection()) as transaction:
            if drop is not None:
                transaction.delete(drop)
            if put is not None:
                transaction.save(put)
            transaction.update(job, actions, condition)

    try:
        retry_on_conflict(transact)
    except TransactWriteError as error:
        return _row_if_applied(verb, job, error, already_applied)
    row = read(job.id)
    if row is None:
        raise refused(verb, job.id, None)
    return row


def _row_if_applied(
    verb: str,
    job: JobRequest,
    error: PynamoDBException,
    already_applied: Callable[[JobRequest], bool],
) -> JobRequest:
    """Return the row of a failed write if it shows this very write; raise what failed otherwise."""
    if not condition_failed(error):
        raise error
    row = read(job.id)
    if row is None or not already_applied(row):
        raise refused(verb, job.id, row) from error
    return row


def retry_on_conflict(write: Callable[[], _T]) -> _T:
    """Write, and try again if the write only met another one of the same item."""
    for _ in range(_CONFLICT_TRIES - 1):
        try:
            return write()
        except PynamoDBException as error:
            if not conflicts(error):
                raise
            clock.sleep(SystemRandom().uniform(0, _CONFLICT_PAUSE))
    return write()


def refused(verb: str, job_id: str, row: JobRequest | None) -> PreconditionFailed:
    """Return the error of a verb that the row, as read afterwards, has refused."""
    return PreconditionFailed(verb, job_id, "gone" if row is None else row.state, row)


# --- what verbs do ------------------------------------------------------------------------------


def queued(job: JobRequest, lane: Lane) -> list[Action]:
    """Return what lets any worker claim the row, and the timer check whether one did."""
    return [*queued_as_before(job, lane), JobRequest.queued_at.set(clock.now())]


def queued_as_before(job: JobRequest, lane: Lane) -> list[Action]:
    """Return the same as `queued`, but leave `queued_at`: the row has waited since then."""
    now = clock.now()
    return [
        JobRequest.status.set(Status.QUEUED),
        *due(job, now + GRACE, lane),
        JobRequest.lease_until.remove(),
        JobRequest.updated_at.set(now),
    ]


def due(job: JobRequest, due_at: int, lane: Lane) -> list[Action]:
    """Return what makes the row due then, in this lane."""
    return [
        JobRequest.due_at.set(due_at),
        JobRequest.due_shard.set(due_shard(job.id, lane)),
    ]


def waiting(job: JobRequest, pause: str, since: int, due_at: int) -> list[Action]:
    """Return what parks a row under a pause, until it is admitted."""
    now = clock.now()
    return [
        JobRequest.status.set(Status.WAITING),
        JobRequest.waiting_since.set(since),
        JobRequest.held_by.set(pause),
        *due(job, due_at, Lane.PARKED),
        JobRequest.lease_until.remove(),
        JobRequest.updated_at.set(now),
    ]


def finished(status: Status) -> list[Action]:
    """Return what ends a row, and takes it off the due index for good.

    Token and send id stay: they tell a late message, and a write whose response was lost, whose
    outcome it is.
    """
    now = clock.now()
    return [
        JobRequest.status.set(status),
        JobRequest.finished_at.set(now),
        JobRequest.updated_at.set(now),
        JobRequest.expires_at.set((now + settings().retention_days * clock.DAY) // clock.SECOND),
        JobRequest.due_at.remove(),
        JobRequest.due_shard.remove(),
        JobRequest.lease_until.remove(),
        JobRequest.waiting_since.remove(),
        JobRequest.held_by.remove(),
    ]


def failed(job: JobRequest, error: dict[str, Any]) -> list[Action]:
    """Return what ends a row with an error, and lists it with its organisation's failed ones."""
    return [
        *finished(Status.FAILED),
        JobRequest.error.set(error),
        JobRequest.failed_organization.set(job.organization_id),
        JobRequest.failed_key.set(sort_key(clock.now(), job.id)),
    ]


# --- what verbs start from ------------------------------------------------------------------------


def owned_by_claim(job: JobRequest) -> Condition:
    """Return the condition that it runs under our claim."""
    condition: Condition = (JobRequest.status == Status.RUNNING) & (
        JobRequest.claim_token == job.claim_token
    )
    return condition


def lease_expired(job: JobRequest) -> Condition:
    """Return the condition that it runs under a claim whose lease, as read, is over."""
    condition: Condition = (
        owned_by_claim(job)
        & (JobRequest.lease_until == job.lease_until)
        & (JobRequest.lease_until < clock.now())
        & (JobRequest.due_at == job.due_at)
    )
    return condition


def attempts_left() -> Condition:
    """Return the condition that it may be tried again."""
    condition: Condition = JobRequest.attempt < JobRequest.max_attempts
    return condition


def not_cancelled() -> Condition:
    """Return the condition that its owner has not asked it to stop."""
    condition: Condition = JobRequest.cancel_requested.does_not_exist()
    return condition


def as_read(job: JobRequest) -> Condition:
    """Return the condition that its status and claim are as they were read."""
    condition: Condition = (JobRequest.status == job.status) & _same(
        JobRequest.claim_token, job.claim_token
    )
    return condition


def _same(attribute: Any, seen: Any) -> Condition:
    condition: Condition = attribute.does_not_exist() if seen is None else attribute == seen
    return condition
