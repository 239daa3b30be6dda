"""The transition `replace`, which gives another payload and time to a job that has not begun."""

from typing import Any

from pynamodb.expressions.update import Action

from job_runners import clock
from job_runners.errors import PreconditionFailed
from job_runners.store import blobs, conditional_write, holdings
from job_runners.store.conditional_write import Change
from job_runners.store.job_request import JobRequest, Lane, Status, new_id
from job_runners.store.table import set_or_remove
from job_runners.store.transactions import RaceLost, RecordWrite
from job_runners.store.transitions.saving import drop_duplicate
from job_runners.values import Value


class Replacement(Value):
    """The payload, the time and the options that a job gets instead of its own.

    `run_at` and `due_at` are None if the job starts at once. Otherwise the timer checks the job at
    `due_at` if no message starts it. `concurrency_key` is its key in the queue, if the queue has
    limits. `first_run_at` is the start time that its first request asked for. `attempt_limit` is
    the most attempts that the request asked for."""

    payload: Any
    concurrency_key: str | None
    max_attempts: int
    run_at: int | None
    due_at: int | None
    first_run_at: int
    attempt_limit: int | None = None
    on_end: dict[str, Any] | None = None
    on_failure: dict[str, Any] | None = None
    announcement: dict[str, Any] | None = None
    by: str | None = None


def replace(job: JobRequest, wanted: Replacement, more_writes: list[RecordWrite]) -> Change:
    """Give another payload and time to a job that has not begun.

    The job must not have begun since it was saved or queued again manually. If it starts at once
    and in the same line, it keeps its position and its capacity. If it was queued again manually,
    it starts from the beginning.

    `more_writes` are part of the same transaction. Raises PreconditionFailed, and RaceLost if one
    of `more_writes` is refused.
    """
    # Each write has its own id. Otherwise two requests with the same payload would share an object,
    # and replacing the payload of one would delete that of the other. The id also shows which write
    # succeeded.
    write_id = new_id()
    inline, object_key = blobs.put(f"payloads/{job.created_key}/{write_id}", wanted.payload)
    actions = [
        JobRequest.replaced_by.set(write_id),
        JobRequest.replaced_at.set(clock.now()),
        set_or_remove(JobRequest.replaced_author, wanted.by),
        set_or_remove(JobRequest.payload_key, object_key),
        set_or_remove(JobRequest.payload, inline),
        set_or_remove(JobRequest.concurrency_key, wanted.concurrency_key),
        JobRequest.max_attempts.set(wanted.max_attempts),
        set_or_remove(JobRequest.attempt_limit, wanted.attempt_limit),
        JobRequest.first_run_at.set(wanted.first_run_at),
        *_follow_up_actions(job, wanted),
        *_restart_actions(job),
    ]
    stays = job.follows is not None or _keeps_position(job, wanted)
    actions += _keep_position_actions(wanted) if stays else _move_actions(job, wanted)
    release = holdings.Release.nothing if stays else holdings.Release.all_but_key
    try:
        change = holdings.write_freeing(
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
            # The row's state doesn't matter, because the job may have begun or ended since.
            already_applied=lambda row: row.replaced_by == write_id,
            release=release(job),
            more_writes=more_writes,
        )
    except (PreconditionFailed, RaceLost):
        drop_duplicate(object_key)
        raise
    # If the response was lost, the job may have been queued again manually since, with its old
    # payload. In that case keep the old object.
    if change.after.payload_key != job.payload_key:
        drop_duplicate(job.payload_key)
    return change


def _follow_up_actions(job: JobRequest, wanted: Replacement) -> list[Action]:
    """Return the actions that give the job the follow-ups of the request."""
    names = ("on_end", "on_failure", "announcement")
    if all(getattr(job, name) == getattr(wanted, name) for name in names):
        return []
    return [set_or_remove(getattr(JobRequest, name), getattr(wanted, name)) for name in names]


def _keeps_position(job: JobRequest, wanted: Replacement) -> bool:
    waits_for_time = job.status is Status.SCHEDULED or wanted.run_at is not None
    return not waits_for_time and wanted.concurrency_key == job.concurrency_key


def _keep_position_actions(wanted: Replacement) -> list[Action]:
    """Return the actions for a job that keeps its position. Its time limits start again now."""
    now = clock.now()
    return [
        JobRequest.updated_at.set(now),
        JobRequest.queued_at.set(now),
        set_or_remove(JobRequest.run_at, wanted.run_at),
    ]


def _move_actions(job: JobRequest, wanted: Replacement) -> list[Action]:
    """Return the actions that let a job wait for its new time, or join its line like a new job."""
    starts = (
        conditional_write.queue_actions(job, Lane.QUEUED)
        if wanted.due_at is None
        else conditional_write.schedule_actions(job, wanted.due_at)
    )
    return [
        *starts,
        *conditional_write.clear_hold_actions(),
        *conditional_write.clear_capacity_actions(),
        set_or_remove(JobRequest.run_at, wanted.run_at),
    ]


def _restart_actions(job: JobRequest) -> list[Action]:
    """Return the actions that make a job start from the beginning, if it would have resumed."""
    if not job.resumes:
        return []
    return [*conditional_write.restart_actions(job), JobRequest.resumes.remove()]
