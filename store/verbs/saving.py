"""The verb that saves a new job."""

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pynamodb.exceptions import PutError, TransactWriteError

import clock
from aws.errors import AWS_ERRORS, condition_failed
from errors import PreconditionFailed
from store import blobs, conditional_write
from store.job_request import LIMITED, UNIQUE, JobRequest, Lane, Status, due_shard, new_id, sort_key
from store.queries import read
from store.transactions import KeyTaken, RaceLost, RecordWrite, RowExists

if TYPE_CHECKING:
    from store.uniqueness import Held


def save(
    *,
    job_type: str,
    queue_name: str,
    organization_id: str,
    payload: Any,
    max_attempts: int,
    job_id: str | None = None,
    run_at: int | None = None,
    due_at: int | None = None,
    campaign_id: str | None = None,
    request_id: str | None = None,
    request_hash: str | None = None,
    parent_id: str | None = None,
    created_by: str | None = None,
    traceparent: str | None = None,
    queue_key: str | None = None,
    counted: bool = False,
    unique_key: str | None = None,
    behind: "Held | None" = None,
    more_writes: Sequence[RecordWrite] = (),
) -> JobRequest:
    """Save a new job, due: from here on it can't be lost. A large payload is stored first.

    It waits for `run_at`, if that is still to come. `due_at` is when the timer checks it if no
    message starts it, `queue_key` the key of its line, if its queue has limits. One that is
    `counted` is of its organisation's quota. Under a `job_id` that was derived from what names the
    job, an unexpired row that has it stays as it is, and is returned. `also` is written in one
    transaction with the row: raises RaceLost if one of those is not as it was read, and RowExists
    instead of returning a row that was there.

    Work that is unique takes its `unique_key` in that transaction: raises KeyTaken if another job
    has it, and PreconditionFailed if others take it and give it up all the time. Or it waits
    `behind` the job that has it, and has the key when that one has ended: raises RaceLost if that
    is not as it was read.
    """
    derived, now = job_id is not None, clock.now()
    job_id = job_id or new_id()
    later = run_at is not None and run_at > now
    status, lane = (Status.SCHEDULED, Lane.PROMPT) if later else (Status.QUEUED, Lane.QUEUED)
    if behind is not None:
        status, lane = Status.WAITING, Lane.PARKED
    inline, key = blobs.put(f"payloads/{sort_key(now, job_id)}", payload)
    job = JobRequest(
        id=job_id,
        job_type=job_type,
        queue_name=queue_name,
        queue_key=queue_key,
        row_version=_version(
            limited=counted or queue_key is not None, unique=unique_key is not None
        ),
        unique_key=unique_key,
        first_run_at=None if unique_key is None else run_at if later else now,
        followed=None if behind is None else True,
        waiting_since=None if behind is None else now,
        held_by=None if behind is None else behind.place,
        unfinished_organization=organization_id if counted else None,
        organization_id=organization_id,
        campaign_id=campaign_id,
        payload=inline,
        payload_key=key,
        request_id=request_id,
        request_hash=request_hash,
        parent_id=parent_id,
        created_by=created_by,
        traceparent=traceparent,
        status=status,
        max_attempts=max_attempts,
        run_at=run_at if later else None,
        due_at=now + conditional_write.GRACE if due_at is None else due_at,
        due_shard=due_shard(job_id, lane),
        created_at=now,
        created_key=sort_key(now, job_id),
        queued_at=now,
        updated_at=now,
    )
    return _put_or_drop(job, derived, behind, more_writes)


def _put_or_drop(
    job: JobRequest, derived: bool, behind: "Held | None", more_writes: Sequence[RecordWrite]
) -> JobRequest:
    """Put the row; delete the payload that was stored for it if it is not the one that is there."""
    key = job.payload_key
    try:
        row = (
            _put(job, derived, more_writes)
            if job.unique_key is None
            else _put_unique(job, derived, behind, more_writes)
        )
    except (KeyTaken, PreconditionFailed, RaceLost, RowExists) as error:
        # A row that was saved in this very millisecond has this very object.
        has_it = isinstance(error, RowExists) and error.row.created_key == job.created_key
        if not has_it:
            drop_duplicate(key)
        raise
    row.is_new = row.created_key == job.created_key  # also by a write whose answer was lost
    if not row.is_new:
        drop_duplicate(key)
    return row


def _version(*, limited: bool, unique: bool) -> int:
    return UNIQUE if unique else LIMITED if limited else 1


def _put_unique(
    job: JobRequest, derived: bool, behind: "Held | None", more_writes: Sequence[RecordWrite]
) -> JobRequest:
    from store import uniqueness  # which most jobs do without

    def put(its_place: list[RecordWrite]) -> JobRequest:
        return _put(job, derived, [*more_writes, *its_place])

    if behind is not None:
        return put(uniqueness.queued_behind(behind, job))
    return uniqueness.with_key(str(job.unique_key), job, put)


def drop_duplicate(payload_key: str | None) -> None:
    """Delete the payload of a job that turned out to exist already, if it was too large for a row.

    The row of that job has a payload of its own, so deleting the job would not find this one. If
    this fails, the bucket's lifecycle does it.
    """
    if payload_key is None:
        return
    from aws import bucket  # which few payloads are large enough for

    with suppress(*AWS_ERRORS):
        bucket.delete(payload_key)


def _put(job: JobRequest, derived: bool, more_writes: Sequence[RecordWrite]) -> JobRequest:
    free = JobRequest.id.does_not_exist()
    if derived:  # a row that has expired is gone for every reader, TTL may come days later
        free |= JobRequest.expires_at <= clock.now() // clock.SECOND
    try:
        conditional_write.put_with(job, free, more_writes)
    except (PutError, TransactWriteError) as error:
        if not condition_failed(error):
            raise
        if not derived:
            return job  # the id was minted here: the row that has it was saved by a lost first try
        row = read(job.id)
        if row is None:  # it expired, or was deleted, between the two: its place is free
            return _put(job, derived, more_writes)
        if more_writes:
            raise RowExists(row) from error
        return row
    return job
