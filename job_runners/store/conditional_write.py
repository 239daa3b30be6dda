"""Change a job's row with a conditional write, and build the actions and conditions for that.

Each way to change a row is a *transition*: see `job_runners.store.transitions`. A transition has
*actions*, which set or remove attributes, and a condition.

If the response to a write is lost, botocore repeats the write. But the first try may have changed
the row, and DynamoDB then refuses the second one. So a transition reads the row after a refusal,
and succeeds if the row already contains its write.

The names of a row's fields use these terms:

- A worker *claims* a job before it runs it. The claim has a random token, and a *lease*, which
  expires when the claiming invocation must have ended.
- A job is *held* while it waits for the end of a pause, in a *line* (the waiting jobs of a queue
  with the same concurrency key), or for a signal, a group or another job. When it may continue, it
  is *admitted*.
- A row is *due* when the timer function must check it. Each kind of check has a *lane*.
"""

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
from job_runners.store.table import set_or_remove
from job_runners.store.transactions import RecordWrite, write_all
from job_runners.values import Value, field

# After a row has been queued for this long, the timer checks whether its message has arrived.
GRACE = clock.MINUTE


class Change(Value):
    """The row before and after a transition.

    `job_runners.engine.settling.settle` sees to everything that must follow: for example, it sends
    messages, admits waiting jobs and counts failures.
    """

    before: JobRequest
    after: JobRequest
    # If the job ended, the jobs that the same transaction saved or admitted: its follow-ups, and
    # the next job with its unique key.
    saved: Sequence[JobRequest] = ()
    needs_message: bool = False  # whether a message has to start the job
    is_known: bool = True  # False if it isn't known whether the row was written

    @property
    def is_new(self) -> bool:
        """Return whether `save`, which returned this change, saved a new row.

        If not, it found a row with the same id.
        """
        return self.after.created_key == self.before.created_key

    @classmethod
    def unknown(cls, row: JobRequest) -> Self:
        """Return a change that may or may not have happened.

        The response to its write may have been lost. Or a process may have been killed after the
        write, before it saw to everything that follows from the change.
        """
        return cls(row, row, is_known=False)


class JobEnd(Value):
    """How and when a job ends."""

    status: Status
    error: dict[str, Any] | None = None  # the error of the last attempt, if it failed
    # The counts of a group's members by outcome, if the last invocation waited for a group.
    group: dict[str, int] | None = None
    at: int = field(default_factory=lambda: clock.now())  # in milliseconds since 1970


AlreadyApplied = Status | Callable[[JobRequest], bool] | None
"""How to tell, after a refusal, whether the row already contains the write.

- A status, for most transitions: The row contains the write if it has this status and the job's
  claim token.
- A function: It gets the row, and returns whether the row contains the write.
- None: The row never contains the write. This is for a write whose condition still holds after it,
  so that DynamoDB doesn't refuse the repetition.
"""


def write(
    transition: str,
    job: JobRequest,
    actions: list[Action],
    condition: Condition,
    *,
    already_applied: AlreadyApplied,
    more_writes: Sequence[RecordWrite] = (),
    needs_message: bool = False,
) -> Change:
    """Change a row if the condition holds. `job` is the row as it was read, and isn't changed.

    - `transition`: the name of the transition, for error messages
    - `more_writes`: writes of other records in the same transaction. They cost an additional read,
      because a transaction's response doesn't contain the row.

    Raises PreconditionFailed if DynamoDB refuses the write of the row, unless `already_applied`
    shows that the row contains it. Raises RaceLost if only conditions of other records failed.
    """
    updated = JobRequest(id=job.id)
    after: JobRequest | None = updated
    try:
        if more_writes:
            row_write = RecordWrite(job, "change", actions, condition)
            write_all([row_write, *more_writes], first_is_row=True)
            after = read(job.id)
        else:
            # pynamodb fills the fields of the row from the response.
            retry_on_conflict(lambda: updated.update(actions, condition))
    except (UpdateError, TransactWriteError) as error:
        after = _row_if_applied(transition, job, error, already_applied)
    if after is None:
        raise refusal_error(transition, job.id, None)
    return Change(job, after, needs_message=needs_message)


def put_with(job: JobRequest, condition: Condition, more_writes: Sequence[RecordWrite]) -> None:
    """Write a new row, in one transaction with `more_writes` if there are any.

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
        # The refused write may have been a repetition by botocore.
        if callable(already_applied):
            is_applied = already_applied(row)
        else:
            # Every row has a status, so None never matches.
            is_applied = row.status is already_applied and row.claim_token == job.claim_token
        if is_applied:
            return row
    raise refusal_error(transition, job.id, row) from error


def refusal_error(transition: str, job_id: str, row: JobRequest | None) -> PreconditionFailed:
    """Return the error for a refused transition. `row` is the row as read after the refusal."""
    return PreconditionFailed(transition, job_id, "gone" if row is None else row.state, row)


# --- actions of transitions -----------------------------------------------------------------------


def queue_actions(job: JobRequest, lane: Lane) -> list[Action]:
    """Return the actions that queue a row: workers may claim it, and the timer checks it later."""
    now = clock.now()
    return [*queue_actions_keeping_time(job, lane, now), JobRequest.queued_at.set(now)]


def queue_actions_keeping_time(job: JobRequest, lane: Lane, now: int) -> list[Action]:
    """Return the same actions as `queue_actions`, except that `queued_at` stays as it is."""
    return [
        JobRequest.status.set(Status.QUEUED),
        *due_actions(job, now + GRACE, lane),
        JobRequest.lease_until.remove(),
        JobRequest.updated_at.set(now),
    ]


def schedule_actions(job: JobRequest, due_at: int) -> list[Action]:
    """Return the actions that make a row wait for its start time.

    The timer checks the row at `due_at`. These actions don't set the start time, `run_at`.
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
    since: int,
    due_at: int,
    *,
    wait_key: str | None = None,
    lane: Lane = Lane.HELD,
) -> list[Action]:
    """Return the actions that hold a row: no worker may claim it until it is admitted.

    - `held_by` names what the job waits for: a pause, a line, a signal or a group.
    - `since` is when the wait began.
    - `wait_key` is the sort key of the row's entry in a line, or None outside lines.
    """
    now = clock.now()
    return [
        JobRequest.status.set(Status.WAITING),
        JobRequest.waiting_since.set(since),
        JobRequest.held_by.set(held_by),
        set_or_remove(JobRequest.wait_key, wait_key),
        *clear_capacity_actions(),
        *due_actions(job, due_at, lane),
        JobRequest.lease_until.remove(),
        JobRequest.updated_at.set(now),
    ]


def finish_actions(end: JobEnd) -> list[Action]:
    """Return the actions that end a job and remove its row from the due index.

    The claim token and the send id stay. When a message arrives late, or a write is repeated after
    a lost response, they show which claim the outcome belongs to.
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
        *clear_hold_actions(),
        *clear_capacity_actions(),
    ]


def waited_actions(job: JobRequest) -> list[Action]:
    """Return the action that sets `has_waited`, unless it is already set.

    It shows that the job may have signals, links or groups, which must be deleted with the job.
    """
    return [] if job.has_waited else [JobRequest.has_waited.set(True)]


def cancel_actions(by: str | None) -> list[Action]:
    """Return the actions that record when and by which caller the job was first canceled."""
    # pynamodb writes `|` as `if_not_exists`.
    actions: list[Action] = [
        JobRequest.cancel_asked_at.set(JobRequest.cancel_asked_at | clock.now())
    ]
    if by is not None:
        actions.append(JobRequest.canceled_by.set(JobRequest.canceled_by | by))
    return actions


def restart_actions(job: JobRequest) -> list[Action]:
    """Return the actions that make a job start over, without its earlier steps and children."""
    return [
        JobRequest.restarts.set((job.restarts or 0) + 1),
        JobRequest.begun_at.set(clock.now()),
        JobRequest.unrecorded_since.remove(),
        JobRequest.signals.remove(),
        JobRequest.cursor.remove(),
        JobRequest.progress.set(0),
    ]


def clear_hold_actions() -> list[Action]:
    """Return the actions that clear the fields of a held row."""
    return [
        JobRequest.waiting_since.remove(),
        JobRequest.held_by.remove(),
        JobRequest.wait_key.remove(),
        JobRequest.current_wait.remove(),
    ]


def clear_capacity_actions() -> list[Action]:
    """Return the actions that clear a row's slot and admission, its capacity in its queue."""
    return [JobRequest.slot.remove(), JobRequest.admitted_at.remove()]


def fail_actions(job: JobRequest, end: JobEnd) -> list[Action]:
    """Return the actions that end a job with an error and list it among the failed jobs."""
    return [
        *finish_actions(end),
        JobRequest.error.set(end.error),
        JobRequest.failed_organization.set(job.organization_id),
        JobRequest.failed_key.set(sort_key(end.at, job.id)),
    ]


# --- conditions of transitions --------------------------------------------------------------------
# Each condition is assigned to an annotated variable, because pynamodb's operators return Any.


def owned_by_claim(job: JobRequest) -> Condition:
    """Return the condition that the job is running, with the same claim as when it was read."""
    condition: Condition = (JobRequest.status == Status.RUNNING) & (
        JobRequest.claim_token == job.claim_token
    )
    return condition


def lease_expired(job: JobRequest) -> Condition:
    """Return the condition that the job's lease has expired.

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
    """Return the condition that no caller has asked to cancel the job, with or without members."""
    condition: Condition = (
        JobRequest.cancel_requested.does_not_exist() & JobRequest.cancel_members.does_not_exist()
    )
    return condition


def unchanged(job: JobRequest) -> Condition:
    """Return the condition that the row's status, claim, slot, admission and keys haven't changed.

    It isn't enough to compare the status and the claim. If the row was held and admitted in the
    meantime, these two are the same again, but the row may now have a slot. And if the payload was
    changed, the job may now belong to another line.
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


def same(attribute: Any, value: Any) -> Condition:
    """Return the condition that an attribute has this value, or doesn't exist if it is None."""
    condition: Condition = attribute.does_not_exist() if value is None else attribute == value
    return condition
