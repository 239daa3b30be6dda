"""The transitions that end an invocation of a claimed job.

They are succeed, fail, stop, retry, end_invocation and release. If a caller has asked the job to
stop, most of them call `stop` instead, which cancels the job.

A job in a queue with limits has *capacity*: a slot, or a start that was counted under the queue's
rate. A *rescue* ends the invocation of a worker that is gone. The field `past` lists how each of
the job's invocations ended.
"""

from collections.abc import Collection, Sequence
from typing import Any

from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from job_runners import clock
from job_runners.errors import Interrupted, PreconditionFailed
from job_runners.store import blobs, conditional_write, earlier_errors, holdings, past
from job_runners.store.conditional_write import AlreadyApplied, Change, JobEnd
from job_runners.store.job_request import JobRequest, Lane, Status
from job_runners.store.transactions import RecordWrite
from job_runners.values import Value


class Checkpoint(Value):
    """How far a running job has come."""

    cursor: Any  # where the next invocation or attempt resumes
    progress: int  # in percent
    message: str | None
    # The keys of the *unrecorded* children: this invocation has begun to dispatch them, but hasn't
    # recorded them as steps. None if the keys aren't known.
    unrecorded: Collection[str] | None = None
    # The counts of a group's members by outcome, if this invocation waited for a group.
    group: dict[str, int] | None = None


def succeed(job: JobRequest, result: Any, *, checkpoint: Checkpoint | None = None) -> Change:
    """End a running job whose function returned. A result too large for the row is stored first.

    If a caller of the API has canceled the job together with the members of its group, this calls
    `stop` instead.
    """
    inline, key = blobs.put(job.result_folder, result)
    end = JobEnd(Status.SUCCEEDED, group=checkpoint.group if checkpoint else None)
    actions = [
        *conditional_write.finish_actions(end),
        *past.end_actions(job, past.Outcome.SUCCEEDED),
        JobRequest.progress.set(100),
        JobRequest.result_key.set(key) if key else JobRequest.result.set(inline),
        JobRequest.error.remove(),  # the row may have the error of an earlier attempt
    ]
    if checkpoint is not None and checkpoint.message is not None:
        actions.append(JobRequest.result_message.set(checkpoint.message))
    condition = conditional_write.owned_by_claim(job) & JobRequest.cancel_members.does_not_exist()
    return write_or_stop(
        "succeed",
        job,
        actions,
        condition,
        already_applied=Status.SUCCEEDED,
        release=holdings.Release.everything(job, end),
        checkpoint=checkpoint,
    )


def fail(
    job: JobRequest,
    error: dict[str, Any],
    *,
    checkpoint: Checkpoint | None = None,
    rescue: bool = False,
) -> Change:
    """End a running job that failed and won't be tried again.

    If a caller has asked the job to stop, it is canceled instead. Pass `rescue=True` for a job
    whose worker is gone. Then this raises PreconditionFailed if the job's lease hasn't expired, or
    has changed since the row was read.
    """
    end = JobEnd(Status.FAILED, error, group=checkpoint.group if checkpoint else None)
    actions = [
        *conditional_write.fail_actions(job, end),
        *past.end_actions(job, _lost_or(past.Outcome.FAILED, error, is_rescue=rescue)),
        *unrecorded_actions(job, checkpoint),
    ]
    condition = _may_end(job, rescue) & conditional_write.no_cancel_requested()
    return write_or_stop(
        "fail",
        job,
        actions,
        condition,
        already_applied=Status.FAILED,
        release=holdings.Release.everything(job, end),
        error=error,
        checkpoint=checkpoint,
        rescue=rescue,
    )


def stop(
    job: JobRequest,
    *,
    error: dict[str, Any] | None = None,
    checkpoint: Checkpoint | None = None,
    rescue: bool = False,
) -> Change:
    """Cancel a running job that a caller has asked to stop.

    If the caller has also canceled the members of the job's group, this only makes the job wait for
    them. The job is canceled once all of them have ended. Pass `error` if the job failed before it
    could stop. `rescue` is as in `fail`.
    """
    actions = [
        *past.end_actions(job, _lost_or(past.Outcome.CANCELED, error, is_rescue=rescue)),
        *unrecorded_actions(job, checkpoint),
        *checkpoint_actions(checkpoint),
    ]
    if error:
        actions.append(JobRequest.error.set(error))
    end = JobEnd(
        Status.CANCELED, error or job.error, group=checkpoint.group if checkpoint else None
    )
    condition = (
        _may_end(job, rescue)
        & (JobRequest.cancel_requested == True)  # noqa: E712
        & JobRequest.cancel_members.does_not_exist()
    )
    try:
        return holdings.write_and_free(
            "stop",
            job,
            [*conditional_write.finish_actions(end), *actions],
            condition,
            already_applied=Status.CANCELED,
            release=holdings.Release.everything(job, end),
        )
    except PreconditionFailed as refusal:
        row = _row_if_still_claimed(job, refusal)
        if row is None or not row.cancel_members:
            raise
    # Once all members have ended, `group_waits.cancel_parent` cancels the job.
    from job_runners.store import groups  # imported here because most jobs have no group

    return holdings.write_and_free(
        "wait_for_members",
        row,
        [*groups.member_wait_actions(row), *actions],
        _may_end(row, rescue) & (JobRequest.cancel_members == True),  # noqa: E712
        already_applied=Status.WAITING,
        release=holdings.Release.all_but_key(row),
    )


def retry(
    job: JobRequest,
    error: dict[str, Any],
    *,
    run_at: int,
    due_at: int,
    checkpoint: Checkpoint | None = None,
    rescue: bool = False,
) -> Change:
    """End a failed attempt of a running job. The next attempt may start at `run_at`.

    The next attempt resumes at `checkpoint`, or at the row's last checkpoint if that is None. The
    timer checks the job at `due_at`, in case no message starts it. If a caller has asked the job to
    stop, it is canceled instead. `rescue` is as in `fail`.
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
        *past.end_actions(job, _lost_or(past.Outcome.FAILED, error, is_rescue=rescue)),
        *unrecorded_actions(job, checkpoint),
        *checkpoint_actions(checkpoint),
    ]
    condition = (
        _may_end(job, rescue)
        & conditional_write.attempts_left()
        & conditional_write.no_cancel_requested()
    )
    return write_or_stop(
        "retry",
        job,
        actions,
        condition,
        already_applied=Status.RETRYABLE,
        release=holdings.Release.all_but_key(job),
        error=error,
        checkpoint=checkpoint,
        rescue=rescue,
        needs_message=True,
    )


def end_invocation(
    job: JobRequest, checkpoint: Checkpoint, more_actions: Sequence[Action] = ()
) -> Change:
    """Queue a running job whose invocation is nearly over, so that it continues in another one.

    `more_actions` change the row further. The attempt stays the same, and the job keeps its
    capacity. If a caller has asked the job to stop, it is canceled instead.
    """
    actions = [
        *conditional_write.queue_actions(job, Lane.PROMPT),
        *past.end_actions(job, past.Outcome.CONTINUED),
        *checkpoint_actions(checkpoint),
        *unrecorded_actions(job, checkpoint),
        *_keep_capacity_actions(job),
        *more_actions,
    ]
    if job.starts_under_rate:
        actions.append(JobRequest.starts_under_rate.remove())
    return write_or_stop(
        "end_invocation",
        job,
        actions,
        conditional_write.owned_by_claim(job) & conditional_write.no_cancel_requested(),
        already_applied=Status.QUEUED,
        checkpoint=checkpoint,
        needs_message=True,
    )


def release(
    job: JobRequest, *, checkpoint: Checkpoint | None = None, needs_message: bool = False
) -> Change:
    """Queue a claimed job again, because its function was not called.

    Pass `needs_message=True` if a message must start the job at once. Otherwise, the timer sends it
    later. The claim doesn't count as an invocation. If a caller has asked the job to stop, it is
    canceled instead.

    `queued_at` doesn't change, for two reasons: the timer waits longer before each of its next
    checks, and the job gets no more time to start than `start_within` allows. The job keeps its
    capacity, but the queue's rate counts its next claim as another start.
    """
    actions = [
        *conditional_write.queue_actions_keeping_time(job, Lane.PROMPT, clock.now()),
        JobRequest.invocations.set(job.invocations - 1),
        *past.end_actions(job, past.Outcome.RELEASED),
        *_keep_capacity_actions(job),
    ]
    if job.attempt_started_at == job.started_at:  # this invocation began the attempt
        actions.append(JobRequest.attempt_started_at.remove())
    if job.invocations == 1:
        actions.append(JobRequest.started_at.remove())
    return write_or_stop(
        "release",
        job,
        actions,
        conditional_write.owned_by_claim(job) & conditional_write.no_cancel_requested(),
        already_applied=Status.QUEUED,
        checkpoint=checkpoint,
        needs_message=needs_message,
    )


def write_or_stop(
    transition: str,
    job: JobRequest,
    actions: list[Action],
    condition: Condition,
    *,
    already_applied: AlreadyApplied,
    release: holdings.Release | None = None,
    error: dict[str, Any] | None = None,
    checkpoint: Checkpoint | None = None,
    rescue: bool = False,
    more_writes: Sequence[RecordWrite] = (),
    needs_message: bool = False,
) -> Change:
    """Change a row as `holdings.write_and_free` does, or stop the job if a caller has asked for it.

    `condition` must include that no caller has asked the job to stop. If the write is refused
    because a caller has done so, this calls `stop` with `error`, `checkpoint` and `rescue`. Without
    a `release`, the job keeps its holdings.
    """
    try:
        return holdings.write_and_free(
            transition,
            job,
            actions,
            condition,
            already_applied=already_applied,
            release=release or holdings.Release.nothing(job),
            more_writes=more_writes,
            needs_message=needs_message,
        )
    except PreconditionFailed as refusal:
        row = _row_if_still_claimed(job, refusal)
        if row is not None and (row.cancel_requested or row.cancel_members):
            return stop(job, error=error, checkpoint=checkpoint, rescue=rescue)
        raise


def checkpoint_actions(checkpoint: Checkpoint | None) -> list[Action]:
    """Return the actions that record a job's progress. Without a checkpoint, there are none."""
    if checkpoint is None:
        return []
    actions: list[Action] = [JobRequest.progress.set(checkpoint.progress)]
    if checkpoint.cursor is not None:
        actions.append(JobRequest.cursor.set(checkpoint.cursor))
    if checkpoint.message is not None:
        actions.append(JobRequest.result_message.set(checkpoint.message))
    return actions


def unrecorded_actions(
    job: JobRequest, checkpoint: Checkpoint | None, *, has_passed: bool = False
) -> list[Action]:
    """Return the action that updates `unrecorded_since`, if needed.

    The field contains the start of the first invocation that may have left a child unrecorded. This
    happens if the worker dies, or the invocation ends, after the child's dispatch and before its
    step is recorded. Pass `has_passed=True` if the job's function asked to wait or to yield. Before
    that, it has repeated and recorded all dispatches of earlier attempts, so no child is unrecorded
    anymore.
    """
    # pynamodb writes `|` as `if_not_exists`, so an earlier time stays.
    unrecorded = None if checkpoint is None else checkpoint.unrecorded
    if unrecorded is None or unrecorded:
        return [JobRequest.unrecorded_since.set(JobRequest.unrecorded_since | job.started_at)]
    return [JobRequest.unrecorded_since.remove()] if has_passed else []


def _lost_or(
    outcome: past.Outcome, error: dict[str, Any] | None, *, is_rescue: bool
) -> past.Outcome:
    """Return LOST if the invocation's worker was killed, or else `outcome`."""
    # Errors that the app raises have a module. Job Runners' own errors have none.
    if error is not None and "module" not in error and error.get("kind") == Interrupted.__name__:
        return past.Outcome.LOST
    return past.Outcome.LOST if is_rescue else outcome


def _may_end(job: JobRequest, rescue: bool) -> Condition:
    return conditional_write.lease_expired(job) if rescue else conditional_write.owned_by_claim(job)


def _row_if_still_claimed(job: JobRequest, refusal: PreconditionFailed) -> JobRequest | None:
    """Return the row as read after a refusal, or None if the job no longer has its claim."""
    row: JobRequest | None = refusal.row
    if row is None or row.status is not Status.RUNNING or row.claim_token != job.claim_token:
        return None
    return row


def _keep_capacity_actions(job: JobRequest) -> list[Action]:
    """Return the action that makes a job keep its capacity, if its queue has limits."""
    if job.concurrency_key is None:
        return []
    return [JobRequest.admitted_at.set(clock.now())]
