"""The transitions that end a claimed run: succeed, fail, stop, retry, end_invocation, release."""

from collections.abc import Callable, Collection, Sequence
from typing import Any

from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from job_runners import clock
from job_runners.errors import Interrupted, PreconditionFailed
from job_runners.store import blobs, conditional_write, earlier_errors, holdings, past
from job_runners.store.conditional_write import Change, JobEnd
from job_runners.store.job_request import JobRequest, Lane, Status
from job_runners.values import Value


class Checkpoint(Value):
    """What a running job has reached: the cursor to resume at, the percentage, and a message.

    `unrecorded` are the keys of children that this invocation has begun to dispatch and has not
    recorded: None if that is unknown. `group` has the numbers of the members by outcome, if this
    invocation has gathered a group.
    """

    cursor: Any
    progress: int
    message: str | None
    unrecorded: Collection[str] | None = None
    group: dict[str, int] | None = None


def succeed(job: JobRequest, result: Any, *, reached: Checkpoint | None = None) -> Change:
    """End a running job whose function returned. A result too large for the row is stored first.

    If the job is to be canceled with its members, it is stopped instead: see `stop`.
    """
    inline, key = blobs.put(job.result_folder, result)
    message, group = (reached.message, reached.group) if reached is not None else (None, None)
    end = JobEnd.now(Status.SUCCEEDED, group=group)
    actions = [
        *conditional_write.finish_actions(end),
        *past.end_actions(job, past.SUCCEEDED),
        JobRequest.progress.set(100),
        JobRequest.result_key.set(key) if key else JobRequest.result.set(inline),
        JobRequest.error.remove(),  # of an earlier attempt
        *([JobRequest.result_message.set(message)] if message is not None else []),
    ]
    condition = conditional_write.owned_by_claim(job) & JobRequest.cancel_members.does_not_exist()
    return write_or_stop(
        job, lambda: _end_job("succeed", job, end, actions, condition), reached=reached
    )


def fail(
    job: JobRequest,
    error: dict[str, Any],
    *,
    reached: Checkpoint | None = None,
    rescue: bool = False,
) -> Change:
    """End a running job that won't be tried again.

    If a caller has asked it to stop, it is stopped instead: the row is then canceled. Pass
    `rescue` for a job whose claimer is gone. The write is then refused unless the lease is over and
    unchanged since it was read.
    """
    end = JobEnd.now(Status.FAILED, error, group=reached.group if reached else None)
    actions = [
        *conditional_write.fail_actions(job, end),
        *past.end_actions(job, _lost_or(past.FAILED, error, rescue)),
        *unrecorded_actions(job, reached),
    ]
    condition = _may_end(job, rescue) & conditional_write.no_cancel_requested()
    return write_or_stop(
        job,
        lambda: _end_job("fail", job, end, actions, condition),
        error=error,
        reached=reached,
        rescue=rescue,
    )


def stop(
    job: JobRequest,
    *,
    error: dict[str, Any] | None = None,
    reached: Checkpoint | None = None,
    rescue: bool = False,
) -> Change:
    """End a running job that a caller has asked to stop.

    If its members are to be canceled too, the row waits for its group instead, and the job is
    canceled once all of them have ended. Pass `error` if the job failed before it could stop. For
    `rescue` see `fail`.
    """
    end = JobEnd.now(Status.CANCELED, error or job.error, group=reached.group if reached else None)
    actions = [
        *conditional_write.finish_actions(end),
        *past.end_actions(job, _lost_or(past.CANCELED, error, rescue)),
        *unrecorded_actions(job, reached),
        *(checkpoint_actions(reached) if reached else []),
        *([JobRequest.error.set(error)] if error else []),
    ]
    condition = (
        _may_end(job, rescue)
        & (JobRequest.cancel_requested == True)  # noqa: E712
        & JobRequest.cancel_members.does_not_exist()
    )
    try:
        return _end_job("stop", job, end, actions, condition)
    except PreconditionFailed as refused:
        row = _still_running(job, refused)
        if row is None or not row.cancel_members:
            raise
        return _wait_for_members(row, error, reached, rescue)


def retry(
    job: JobRequest,
    error: dict[str, Any],
    *,
    run_at: int,
    due_at: int,
    reached: Checkpoint | None = None,
    rescue: bool = False,
) -> Change:
    """End a failed attempt of a running job. The next one may start at `run_at`.

    The next attempt resumes at `reached`, or else at the last written checkpoint. If no message
    starts the job, the timer checks it at `due_at`. If a caller has asked it to stop, it is
    stopped instead: the row is then canceled. For `rescue` see `fail`.
    """
    now = clock.now()
    actions = [
        JobRequest.status.set(Status.RETRYABLE),
        JobRequest.attempt.set(job.attempt + 1),
        JobRequest.attempt_started_at.remove(),
        JobRequest.error.set(error),
        JobRequest.earlier_errors.set(earlier_errors.after_attempt(job, error, now)),
        JobRequest.run_at.set(run_at),
        *conditional_write.due_actions(job, due_at, Lane.PROMPT),
        *conditional_write.clear_capacity_actions(),
        JobRequest.lease_until.remove(),
        JobRequest.updated_at.set(now),
        *past.end_actions(job, _lost_or(past.FAILED, error, rescue)),
        *unrecorded_actions(job, reached),
        *(checkpoint_actions(reached) if reached else []),
    ]
    condition = (
        _may_end(job, rescue)
        & conditional_write.attempts_left()
        & conditional_write.no_cancel_requested()
    )
    return write_or_stop(
        job,
        lambda: _end_attempt("retry", job, actions, condition),
        error=error,
        reached=reached,
        rescue=rescue,
    )


def end_invocation(job: JobRequest, reached: Checkpoint, more: Sequence[Action] = ()) -> Change:
    """Queue a running job whose invocation is nearly over, so that it continues in another one.

    `more` are further changes of the row. The attempt stays the same, and the job keeps its
    capacity. If a caller has asked it to stop, it is stopped instead: the returned row is
    then canceled.
    """
    actions = [
        *conditional_write.queue_actions(job, Lane.PROMPT),
        *past.end_actions(job, past.CONTINUED),
        *checkpoint_actions(reached),
        *unrecorded_actions(job, reached),
        *_capacity_kept(job),
        *([JobRequest.starts_under_rate.remove()] if job.starts_under_rate else []),
        *more,
    ]
    condition = conditional_write.owned_by_claim(job) & conditional_write.no_cancel_requested()
    return write_or_stop(
        job,
        lambda: _queue_again("end_invocation", job, actions, condition, resumes=True),
        reached=reached,
    )


def release(job: JobRequest, *, reached: Checkpoint | None = None, resumes: bool = False) -> Change:
    """Queue a claimed job again, because its function was not called.

    It `resumes` at once, or when the timer sends it.

    The claim doesn't count as an invocation. If a caller has asked it to stop, it is stopped
    instead: the returned row is then canceled.

    `queued_at` stays. So the gaps between the timer's checks keep growing, and the time allowed by
    `start_within` keeps running. The job keeps its capacity, but the queue's rate counts its next
    claim as another start.
    """
    first_of_attempt = job.attempt_started_at == job.started_at
    actions = [
        *conditional_write.queue_actions_keeping_time(job, Lane.PROMPT, clock.now()),
        JobRequest.invocations.set(job.invocations - 1),
        *past.end_actions(job, past.RELEASED),
        *_capacity_kept(job),
        *([JobRequest.attempt_started_at.remove()] if first_of_attempt else []),
        *([JobRequest.started_at.remove()] if job.invocations == 1 else []),
    ]
    condition = conditional_write.owned_by_claim(job) & conditional_write.no_cancel_requested()
    return write_or_stop(
        job,
        lambda: _queue_again("release", job, actions, condition, resumes=resumes),
        reached=reached,
    )


def write_or_stop(job: JobRequest, write: Callable[[], Change], **stop_arguments: Any) -> Change:
    """Call `write`. If it is refused because a caller has asked the job to stop, stop the job.

    The condition of `write` must include that a caller hasn't asked. `stop_arguments` are passed
    to `stop`.
    """
    try:
        return write()
    except PreconditionFailed as refused:
        row = _still_running(job, refused)
        if row is not None and (row.cancel_requested or row.cancel_members):
            return stop(job, **stop_arguments)
        raise


def checkpoint_actions(reached: Checkpoint) -> list[Action]:
    """Return the actions that record a job's progress."""
    actions: list[Action] = [JobRequest.progress.set(reached.progress)]
    if reached.cursor is not None:
        actions.append(JobRequest.cursor.set(reached.cursor))
    if reached.message is not None:
        actions.append(JobRequest.result_message.set(reached.message))
    return actions


def unrecorded_actions(
    job: JobRequest, reached: Checkpoint | None, *, has_passed: bool = False
) -> list[Action]:
    """Return the action that notes since when a job may have a child that no step records.

    An invocation leaves such a child if its worker is gone, or if it ends while it dispatches the
    child. Pass `has_passed` if the invocation ends where the function asked for that. It then has
    repeated and recorded every dispatch that the attempts before it had begun.
    """
    unrecorded = None if reached is None else reached.unrecorded
    if unrecorded is None or unrecorded:
        return [JobRequest.unrecorded_since.set(JobRequest.unrecorded_since | job.started_at)]
    return [JobRequest.unrecorded_since.remove()] if has_passed else []


def _lost_or(outcome: str, error: dict[str, Any] | None, rescue: bool) -> str:
    """Return how an invocation ended: its worker was lost, or else with this outcome."""
    error = error or {}
    is_cut_off = error.get("kind") == Interrupted.__name__ and "module" not in error
    return past.LOST if rescue or is_cut_off else outcome


def _may_end(job: JobRequest, rescue: bool) -> Condition:
    return conditional_write.lease_expired(job) if rescue else conditional_write.owned_by_claim(job)


def _still_running(job: JobRequest, refused: PreconditionFailed) -> JobRequest | None:
    """Return the row as read after a refused write, if the job still runs under the same claim."""
    row: JobRequest | None = refused.row
    if row is None or row.status is not Status.RUNNING or row.claim_token != job.claim_token:
        return None
    return row


def _wait_for_members(
    job: JobRequest, error: dict[str, Any] | None, reached: Checkpoint | None, rescue: bool
) -> Change:
    """End the invocation of a running job that is to be canceled after its members.

    It waits for those that it has dispatched: see `group_waits.cancel_parent`.
    """
    from job_runners.store import group_holds  # imported here because most jobs have no group

    actions = [
        *group_holds.cancel_actions(job),
        *past.end_actions(job, _lost_or(past.CANCELED, error, rescue)),
        *unrecorded_actions(job, reached),
        *(checkpoint_actions(reached) if reached else []),
        *([JobRequest.error.set(error)] if error else []),
    ]
    return holdings.write_freeing(
        "wait_for_members",
        job,
        actions,
        _may_end(job, rescue) & (JobRequest.cancel_members == True),  # noqa: E712
        already_applied=Status.WAITING,
        release=holdings.Release.all_but_key(job),
    )


def _capacity_kept(job: JobRequest) -> list[Action]:
    """Return the action that lets a job keep its capacity, if its queue has limits."""
    if job.concurrency_key is None:
        return []
    return [JobRequest.admitted_at.set(clock.now())]


def _end_job(
    transition: str, job: JobRequest, end: JobEnd, actions: list[Action], condition: Condition
) -> Change:
    if job.holds_nothing:
        return conditional_write.write(
            transition, job, actions, condition, already_applied=end.status
        )
    return holdings.write_freeing(
        transition,
        job,
        actions,
        condition,
        already_applied=end.status,
        release=holdings.Release.everything(job, end),
    )


def _end_attempt(
    transition: str, job: JobRequest, actions: list[Action], condition: Condition
) -> Change:
    return holdings.write_freeing(
        transition,
        job,
        actions,
        condition,
        already_applied=Status.RETRYABLE,
        release=holdings.Release.all_but_key(job),
        resumes=True,
    )


def _queue_again(
    transition: str, job: JobRequest, actions: list[Action], condition: Condition, *, resumes: bool
) -> Change:
    return conditional_write.write(
        transition, job, actions, condition, already_applied=Status.QUEUED, resumes=resumes
    )
