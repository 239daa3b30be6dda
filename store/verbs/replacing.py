"""The verb that gives a job that has not begun another payload and time: replace."""

from copy import copy
from typing import Any, NamedTuple

from pynamodb.expressions.update import Action

import clock
from errors import PreconditionFailed
from store import blobs, conditional_write, holdings
from store.job_request import JobRequest, Lane, Status, new_id
from store.table import set_or_remove
from store.transactions import RaceLost, RecordWrite
from store.verbs.saving import drop_duplicate


class Wanted(NamedTuple):
    """What a job is to do instead.

    `run_at` is None to start at once, and `due_at` is None then too. Otherwise `due_at` is when the
    timer checks the job if no message starts it. `queue_key` is its key, if its queue has limits.
    `first_run_at` is its start time before it was ever postponed.
    """

    payload: Any
    campaign_id: str | None
    queue_key: str | None
    max_attempts: int
    run_at: int | None
    due_at: int | None
    first_run_at: int


def replace(job: JobRequest, wanted: Wanted, more_writes: list[RecordWrite]) -> JobRequest:
    """Give a job that has not begun another payload and time.

    `more_writes` are part of the same transaction. The job must not have begun since it was saved
    or queued again by hand. If it is to start at once and in the same partition, it keeps its
    position and its capacity. A job that was queued again by hand starts from the beginning. Raises
    PreconditionFailed, and RaceLost for `more_writes`.
    """
    # Each write gets a name of its own. Two requests with the same payload must not share an
    # object, because one of them deletes it when its payload is replaced. Nor must one take the
    # other's write for its own.
    this = new_id()
    inline, key = blobs.put(f"payloads/{job.created_key}/{this}", wanted.payload)
    actions = [
        JobRequest.replaced_by.set(this),
        set_or_remove(JobRequest.payload_key, key),
        set_or_remove(JobRequest.payload, inline),
        set_or_remove(JobRequest.campaign_id, wanted.campaign_id),
        set_or_remove(JobRequest.queue_key, wanted.queue_key),
        JobRequest.max_attempts.set(wanted.max_attempts),
        JobRequest.first_run_at.set(wanted.first_run_at),
        *_restart_if_resuming(job),
    ]
    stays = job.follows is not None or _keeps_place(job, wanted)
    actions += _kept(job, wanted) if stays else _moved(job, wanted)
    try:
        row = holdings.write_freeing(
            "replace",
            copy(job),  # because the write changes it
            actions,
            conditional_write.as_read(job)
            & (JobRequest.created_key == job.created_key)
            & JobRequest.status.is_in(Status.QUEUED, Status.SCHEDULED, Status.WAITING)
            & (JobRequest.legs == 0)
            & conditional_write.same(JobRequest.held_by, job.held_by)
            & conditional_write.same(JobRequest.run_at, job.run_at)
            & conditional_write.same(JobRequest.payload_key, job.payload_key),
            # In any state, because the job may have been claimed, and have ended, since.
            already_applied=lambda row: row.replaced_by == this,
            more_writes=[*more_writes, *([] if stays else holdings.drop_entry_writes(job))],
            keeps_slot=stays,
        )
    except (PreconditionFailed, RaceLost):
        drop_duplicate(key)
        raise
    # If the response was lost, the job may have been queued again by hand since, with its old
    # payload.
    if row.payload_key != job.payload_key:
        drop_duplicate(job.payload_key)
    return row


def _keeps_place(job: JobRequest, wanted: Wanted) -> bool:
    waits_for_time = job.status is Status.SCHEDULED or wanted.run_at is not None
    return not waits_for_time and wanted.queue_key == job.queue_key


def _kept(job: JobRequest, wanted: Wanted) -> list[Action]:
    """Return the actions that give a job that keeps its position its full time to start.

    It counts as requested just now.
    """
    now = clock.now()
    if job.is_admitted:  # a later queued_at would make it ask for capacity again, and have two
        return [JobRequest.updated_at.set(now), JobRequest.run_at.set(now)]
    return [
        JobRequest.updated_at.set(now),
        JobRequest.queued_at.set(now),
        set_or_remove(JobRequest.run_at, wanted.run_at),
    ]


def _moved(job: JobRequest, wanted: Wanted) -> list[Action]:
    """Return the actions that take a job from where it waits.

    It waits for its time, or joins its line like a new job.
    """
    starts = (
        conditional_write.queued(job, Lane.QUEUED)
        if wanted.due_at is None
        else conditional_write.scheduled(job, wanted.due_at)
    )
    return [
        *starts,
        *conditional_write.no_longer_parked(),
        *conditional_write.without_capacity(),
        set_or_remove(JobRequest.run_at, wanted.run_at),
    ]


def _restart_if_resuming(job: JobRequest) -> list[Action]:
    """Return the actions that make a job that would resume start over, as `requeue` does."""
    if not job.resumes:
        return []
    return [*conditional_write.restarted(job), JobRequest.resumes.remove()]
