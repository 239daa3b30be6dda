"""Change a JobRequest on a condition that is part of the write, and return the `Change`.

A lost response never makes a write take effect twice, or look as if it had failed. botocore repeats
a write whose response is lost. If the first try has changed the row, the condition of the second
try fails. So a transition (see `job_runners.store.transitions`) reads the row after a refusal. If
the row already contains this write, the transition has succeeded."""

from collections.abc import Callable, Sequence
from typing import Any, Self

from pynamodb.exceptions import PynamoDBException, TransactWriteError, UpdateError
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from job_runners import clock
from job_runners.aws.errors import condition_failed, retry_on_conflict
from job_runners.errors import PreconditionFailed
from job_runners.settings import settings
from job_runners.store.job_request import JobRequest, Lane, Status, due_shard, sort_key
from job_runners.store.queries import read
from job_runners.store.transactions import RecordWrite, write_all
from job_runners.values import Value

# How long after a row is queued the timer checks whether its message has arrived.
GRACE = clock.MINUTE


class Change(Value):
    """A transition of a row: the row before and after it, and what follows from it.

    `saved` are the jobs that the same transaction saved or admitted because the job ended: its
    follow-ups, and the next job with its unique key. If the job `resumes`, a message has to start
    it. `job_runners.engine.settling.settle` sees to everything that follows.
    """

    before: JobRequest
    after: JobRequest
    saved: Sequence[JobRequest] = ()
    resumes: bool = False
    is_known: bool = True

    @property
    def is_new(self) -> bool:
        """Return whether a save has saved its row, even if the response to its write was lost."""
        return self.after.created_key == self.before.created_key

    @classmethod
    def unknown(cls, row: JobRequest) -> Self:
        """Return the change of a row that may have been written, or not.

        Its response was lost, or its process may have been killed before it settled the change.
        """
        return cls(row, row, is_known=False)


class JobEnd(Value):
    """How and when a job ends.

    `error` is that of its last attempt, if it has one. `group` has the numbers of the members by
    outcome, if the last invocation has gathered a group.
    """

    status: Status
    at: int  # in milliseconds since 1970
    error: dict[str, Any] | None = None
    group: dict[str, int] | None = None

    @classmethod
    def now(
        cls,
        status: Status,
        error: dict[str, Any] | None = None,
        group: dict[str, int] | None = None,
    ) -> Self:
        """Return an end at this moment."""
        return cls(status, clock.now(), error, group)


AlreadyApplied = Status | Callable[[JobRequest], bool] | None
"""How to tell from a row whether it already contains a write that was refused.

After most transitions, the row shows a status under the claim token that the job had before. The
write of a transition whose condition still holds afterward isn't refused when it is repeated: that
is None. """


def write(
    transition: str,
    job: JobRequest,
    actions: list[Action],
    condition: Condition,
    *,
    already_applied: AlreadyApplied,
    resumes: bool = False,
) -> Change:
    """Change the row if the condition holds. `job` is the row as it was read, and stays so.

    If DynamoDB refuses the write, the row is read, and `already_applied` says whether it contains
    this write. Raises PreconditionFailed.
    """
    after = JobRequest(id=job.id)
    try:
        retry_on_conflict(lambda: after.update(actions, condition))
    except UpdateError as error:
        after = _row_if_applied(transition, job, error, already_applied)
    return Change(job, after, resumes=resumes)


def write_with(
    transition: str,
    job: JobRequest,
    actions: list[Action],
    condition: Condition,
    *,
    already_applied: AlreadyApplied,
    more_writes: Sequence[RecordWrite],
    resumes: bool = False,
) -> Change:
    """Change the row in one transaction with other records.

    Without other records, this is the same as `write`. A transaction also costs a read, because its
    response doesn't contain the row. Raises PreconditionFailed if the row's condition failed, and
    RaceLost if only conditions of other records failed.
    """
    if not more_writes:
        return write(
            transition, job, actions, condition, already_applied=already_applied, resumes=resumes
        )

    try:
        write_all([RecordWrite(job, "change", actions, condition), *more_writes], first_is_row=True)
    except TransactWriteError as error:
        after = _row_if_applied(transition, job, error, already_applied)
        return Change(job, after, resumes=resumes)
    row = read(job.id)
    if row is None:
        raise refused(transition, job.id, None)
    return Change(job, row, resumes=resumes)


def put_with(job: JobRequest, condition: Condition, more_writes: Sequence[RecordWrite]) -> None:
    """Put a new row, in one transaction with other records if there are any.

    Raises RaceLost if only conditions of other records failed. Raises PutError or
    TransactWriteError for every other failure.
    """
    if more_writes:
        write_all([RecordWrite(job, "put", condition=condition), *more_writes], first_is_row=True)
    else:
        job.save(condition)


def _row_if_applied(
    transition: str,
    job: JobRequest,
    error: PynamoDBException,
    already_applied: AlreadyApplied,
) -> JobRequest:
    """Return the row if it already contains the refused write. Otherwise raise an error."""
    if not condition_failed(error):
        raise error
    row = read(job.id)
    if row is not None:
        if callable(already_applied):
            applied = already_applied(row)
        else:  # no row has the status None
            applied = row.status is already_applied and row.claim_token == job.claim_token
        if applied:
            return row
    raise refused(transition, job.id, row) from error


def refused(transition: str, job_id: str, row: JobRequest | None) -> PreconditionFailed:
    """Return the error for a refused transition. `row` is the row as it was read afterwards."""
    return PreconditionFailed(transition, job_id, "gone" if row is None else row.state, row)


# --- what transitions change
# --------------------------------------------------------------------------


def queue_actions(job: JobRequest, lane: Lane) -> list[Action]:
    """Return the actions that queue a row: workers may claim it, and the timer checks it later."""
    now = clock.now()
    return [*queue_actions_keeping_time(job, lane, now), JobRequest.queued_at.set(now)]


def queue_actions_keeping_time(job: JobRequest, lane: Lane, now: int) -> list[Action]:
    """Return the actions of `queue_actions` for a row that keeps its `queued_at`."""
    return [
        JobRequest.status.set(Status.QUEUED),
        *due_actions(job, now + GRACE, lane),
        JobRequest.lease_until.remove(),
        JobRequest.updated_at.set(now),
    ]


def schedule_actions(job: JobRequest, due_at: int) -> list[Action]:
    """Return the actions that make a row wait for its start time.

    The timer checks it at `due_at`.
    """
    now = clock.now()
    return [
        JobRequest.status.set(Status.SCHEDULED),
        *due_actions(job, due_at, Lane.PROMPT),
        JobRequest.lease_until.remove(),
        JobRequest.updated_at.set(now),
        JobRequest.queued_at.set(now),
    ]


def due_actions(job: JobRequest, due_at: int, lane: Lane) -> list[Action]:
    """Return the actions that make the timer check a row at `due_at`, in this lane."""
    return [
        JobRequest.due_at.set(due_at),
        JobRequest.due_shard.set(due_shard(job.id, lane)),
    ]


def hold_actions(
    job: JobRequest,
    held_by: str,
    wait_key: str | None,
    since: int,
    due_at: int,
    lane: Lane = Lane.HELD,
) -> list[Action]:
    """Return the actions that hold a row.

    `held_by` names what the job waits for: a pause, a line, a signal or a group. `wait_key` is the
    sort key of the row's entry in the line, or None if it isn't in a line. `since` is when the row
    was held.
    """
    now = clock.now()
    key = JobRequest.wait_key
    return [
        JobRequest.status.set(Status.WAITING),
        JobRequest.waiting_since.set(since),
        JobRequest.held_by.set(held_by),
        key.set(wait_key) if wait_key else key.remove(),
        *without_capacity(),
        *due_actions(job, due_at, lane),
        JobRequest.lease_until.remove(),
        JobRequest.updated_at.set(now),
    ]


def finish_actions(end: JobEnd) -> list[Action]:
    """Return the actions that end a job and remove its row from the due index.

    The claim token and send id stay. They show to which run the outcome belongs when a message
    arrives late, or when a write whose response was lost is repeated.
    """
    retention = settings().retention_days * clock.DAY
    return [
        JobRequest.status.set(end.status),
        JobRequest.finished_at.set(end.at),
        JobRequest.updated_at.set(end.at),
        JobRequest.expires_at.set((end.at + retention) // clock.SECOND),
        JobRequest.due_at.remove(),
        JobRequest.due_shard.remove(),
        JobRequest.lease_until.remove(),
        JobRequest.unfinished_organization.remove(),
        JobRequest.unique_key.remove(),
        *no_longer_held(),
        *without_capacity(),
    ]


def waited_actions(job: JobRequest) -> list[Action]:
    """Return the action that records that a job may have signals, links or groups to delete."""
    return [] if job.has_waited else [JobRequest.has_waited.set(True)]


def cancel_asked() -> Action:
    """Return the action that records when a caller first asked to cancel the job."""
    action: Action = JobRequest.cancel_asked_at.set(JobRequest.cancel_asked_at | clock.now())
    return action


def restart_actions(job: JobRequest) -> list[Action]:
    """Return the actions that make a job start from the beginning.

    The job then ignores the steps and children of its earlier work.
    """
    return [
        JobRequest.restarts.set((job.restarts or 0) + 1),
        JobRequest.begun_at.set(clock.now()),
        JobRequest.unrecorded_since.remove(),
        JobRequest.signals.remove(),
        JobRequest.cursor.remove(),
        JobRequest.progress.set(0),
    ]


def no_longer_held() -> list[Action]:
    """Return the actions that clear the fields of a held row."""
    return [
        JobRequest.waiting_since.remove(),
        JobRequest.held_by.remove(),
        JobRequest.wait_key.remove(),
        JobRequest.current_wait.remove(),
    ]


def without_capacity() -> list[Action]:
    """Return the actions that clear a row's slot and admission."""
    return [JobRequest.slot.remove(), JobRequest.admitted_at.remove()]


def fail_actions(job: JobRequest, end: JobEnd) -> list[Action]:
    """Return the actions that end a job with an error and list it among the failed jobs."""
    return [
        *finish_actions(end),
        JobRequest.error.set(end.error),
        JobRequest.failed_organization.set(job.organization_id),
        JobRequest.failed_key.set(sort_key(end.at, job.id)),
    ]


# --- conditions of transitions
# --------------------------------------------------------------------------


def owned_by_claim(job: JobRequest) -> Condition:
    """Return the condition that the job still runs under the claim that `job` names."""
    condition: Condition = (JobRequest.status == Status.RUNNING) & (
        JobRequest.claim_token == job.claim_token
    )
    return condition


def lease_expired(job: JobRequest) -> Condition:
    """Return the condition that the job's lease is over.

    The lease and `due_at` must not have changed since the row was read.
    """
    condition: Condition = (
        owned_by_claim(job)
        & (JobRequest.lease_until == job.lease_until)
        & (JobRequest.lease_until < clock.now())
        & (JobRequest.due_at == job.due_at)
    )
    return condition


def attempts_left() -> Condition:
    """Return the condition that the job has attempts left."""
    condition: Condition = JobRequest.attempt < JobRequest.max_attempts
    return condition


def no_cancel_requested() -> Condition:
    """Return the condition that no caller has asked it to stop, with its members or without."""
    condition: Condition = (
        JobRequest.cancel_requested.does_not_exist() & JobRequest.cancel_members.does_not_exist()
    )
    return condition


def as_read(job: JobRequest) -> Condition:
    """Return the condition that the row's status, claim, slot, admission and keys haven't changed.

    Status and claim alone don't suffice. If a row was held and admitted in the meantime, both are
    unchanged, but the row may now name a slot. After a new payload, its line may differ too.
    """
    condition: Condition = (
        (JobRequest.status == job.status)
        & same(JobRequest.claim_token, job.claim_token)
        & same(JobRequest.slot, job.slot)
        & same(JobRequest.admitted_at, job.admitted_at)
        & same(JobRequest.concurrency_key, job.concurrency_key)
        & same(JobRequest.unique_key, job.unique_key)
    )
    return condition


def same(attribute: Any, seen: Any) -> Condition:
    """Return the condition that an attribute still has the value `seen`.

    If `seen` is None, the condition is that the attribute doesn't exist.
    """
    condition: Condition = attribute.does_not_exist() if seen is None else attribute == seen
    return condition
