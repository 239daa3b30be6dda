"""The transition `replace`, which gives a new payload and time to a job that has not begun."""

from pynamodb.expressions.update import Action

from job_runners import clock
from job_runners.errors import PreconditionFailed
from job_runners.store import blobs, conditional_write, holdings
from job_runners.store.conditional_write import Change
from job_runners.store.job_request import JobRequest, Lane, Status, new_id
from job_runners.store.table import set_or_remove
from job_runners.store.transactions import RaceLost, RecordWrite
from job_runners.store.transitions.saving import NewJob, drop_duplicate

_FOLLOW_UP_FIELDS = ("on_end", "on_failure", "announcement")


def replace(job: JobRequest, new_job: NewJob, more_writes: list[RecordWrite]) -> Change:
    """Give the payload, time and options of `new_job` to a job that has not begun.

    The job must not have begun since it was saved or last retried.

    If `new_job` is to start at once, its `run_at` and `due_at` are None. If the job was also to
    start at once, and its line stays the same, it keeps its position and its capacity. A job that
    was retried manually, and would have resumed its work, starts over.

    `more_writes` are part of the same transaction. Raises PreconditionFailed. Raises RaceLost if
    one of `more_writes` is refused.
    """
    # The id of this write shows whether it succeeded. It is also part of the key of the payload's
    # object, so that no other request shares the object, which the next replacement deletes.
    write_id = new_id()
    inline, object_key = blobs.put(f"payloads/{job.created_key}/{write_id}", new_job.payload)
    actions = [
        JobRequest.replaced_by.set(write_id),
        JobRequest.replaced_at.set(clock.now()),
        set_or_remove(JobRequest.replaced_author, new_job.created_by),
        set_or_remove(JobRequest.payload_key, object_key),
        set_or_remove(JobRequest.payload, inline),
        set_or_remove(JobRequest.concurrency_key, new_job.concurrency_key),
        JobRequest.max_attempts.set(new_job.max_attempts),
        set_or_remove(JobRequest.attempt_limit, new_job.attempt_limit),
        set_or_remove(JobRequest.run_at, new_job.run_at),
        *_follow_up_actions(new_job),
        *_restart_actions(job),
    ]
    if job.follows is not None or _keeps_position(job, new_job):
        now = clock.now()
        actions += [JobRequest.updated_at.set(now), JobRequest.queued_at.set(now)]
        release = holdings.Release.nothing(job)
    else:
        actions += _move_actions(job, new_job)
        release = holdings.Release.all_but_key(job)
    try:
        change = holdings.write_and_free(
            "replace",
            job,
            actions,
            conditional_write.unchanged(job)
            & (JobRequest.created_key == job.created_key)
            & JobRequest.status.is_in(Status.QUEUED, Status.SCHEDULED, Status.WAITING)
            & (JobRequest.invocations == 0)
            & conditional_write.same(JobRequest.held_by, job.held_by)
            & conditional_write.same(JobRequest.run_at, job.run_at)
            & conditional_write.same(JobRequest.payload_key, job.payload_key),
            # The row may have any status, because the job may have begun or ended since.
            already_applied=lambda row: row.replaced_by == write_id,
            release=release,
            more_writes=more_writes,
        )
    except (PreconditionFailed, RaceLost):
        drop_duplicate(object_key)
        raise
    # Delete the old payload's object, unless the row names it again. It may do so if the response
    # was lost, and a manual retry has since queued the job with its old payload.
    if change.after.payload_key != job.payload_key:
        drop_duplicate(job.payload_key)
    return change


def _follow_up_actions(new_job: NewJob) -> list[Action]:
    return [
        set_or_remove(getattr(JobRequest, name), getattr(new_job, name))
        for name in _FOLLOW_UP_FIELDS
    ]


def _keeps_position(job: JobRequest, new_job: NewJob) -> bool:
    starts_at_once = job.status is not Status.SCHEDULED and new_job.run_at is None
    return starts_at_once and new_job.concurrency_key == job.concurrency_key


def _move_actions(job: JobRequest, new_job: NewJob) -> list[Action]:
    """Return the actions that schedule a job for its new time, or queue it like a new job."""
    if new_job.due_at is None:
        actions = conditional_write.queue_actions(job, Lane.QUEUED)
    else:
        actions = conditional_write.schedule_actions(job, new_job.due_at)
    return [
        *actions,
        *conditional_write.clear_hold_actions(),
        *conditional_write.clear_capacity_actions(),
    ]


def _restart_actions(job: JobRequest) -> list[Action]:
    """Return the actions that make a job start over, if it would have resumed."""
    if not job.resumes:
        return []
    return [*conditional_write.restart_actions(job), JobRequest.resumes.remove()]
