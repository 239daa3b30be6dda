"""The verb that saves a new job."""

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pynamodb.exceptions import PutError, TransactWriteError

import clock
from aws.errors import AWS_ERRORS, condition_failed
from errors import PreconditionFailed
from store import blobs, conditional_write
from store.job_request import (
    LIMITED_VERSION,
    UNIQUE_VERSION,
    JobRequest,
    Lane,
    Status,
    due_shard,
    new_id,
    sort_key,
)
from store.queries import read
from store.transactions import NotWritten, RecordWrite, RowExists

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
    """Save a new job. From then on it has a due time, so it can't be lost.

    A payload that is too large for the row is stored first. The job waits for `run_at` if that is
    in the future. If no message starts it, the timer checks it at `due_at`. `queue_key` is its key,
    if its queue has limits. Pass `counted` if its organization's quota counts it. `more_writes` are
    part of the same transaction.

    If `job_id` is derived, a row may have it already. Unless that row has expired, it stays
    unchanged and is returned. With `more_writes`, RowExists is raised instead.

    Unique work takes its `unique_key` in that transaction. With `behind`, it waits for the end of
    the job that has the key, and gets the key then.

    Raises RaceLost if one of the `more_writes`, or `behind`, isn't as it was read. Raises KeyTaken
    if another job has the key, and PreconditionFailed if others keep taking the key and giving it
    up.
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
    """Put the row. If another row has its id, delete the payload that was stored for it."""
    key = job.payload_key
    try:
        row = (
            _put(job, derived, more_writes)
            if job.unique_key is None
            else _put_unique(job, derived, behind, more_writes)
        )
    except (NotWritten, PreconditionFailed) as error:
        # A row with the same id and the same millisecond uses the same object.
        uses_payload = isinstance(error, RowExists) and error.row.created_key == job.created_key
        if not uses_payload:
            drop_duplicate(key)
        raise
    # True also if the response to this write was lost.
    row.is_new = row.created_key == job.created_key
    if not row.is_new:
        drop_duplicate(key)
    return row


def _version(*, limited: bool, unique: bool) -> int:
    return UNIQUE_VERSION if unique else LIMITED_VERSION if limited else 1


def _put_unique(
    job: JobRequest, derived: bool, behind: "Held | None", more_writes: Sequence[RecordWrite]
) -> JobRequest:
    from store import uniqueness  # imported here because most jobs have no key

    def put(key_writes: list[RecordWrite]) -> JobRequest:
        return _put(job, derived, [*more_writes, *key_writes])

    if behind is not None:
        return put(uniqueness.queued_behind(behind, job))
    return uniqueness.with_key(str(job.unique_key), job, put)


def drop_duplicate(payload_key: str | None) -> None:
    """Delete the object of a payload that no row uses, if the payload was too large for a row.

    No other deletion would find this object. If this one fails, the bucket's lifecycle deletes it.
    """
    if payload_key is None:
        return
    from aws import bucket  # imported here because few payloads are too large for a row

    with suppress(*AWS_ERRORS):
        bucket.delete(payload_key)


def _put(job: JobRequest, derived: bool, more_writes: Sequence[RecordWrite]) -> JobRequest:
    free = JobRequest.id.does_not_exist()
    if derived:  # an expired row counts as gone, but TTL may delete it only days later
        free |= JobRequest.expires_at <= clock.now() // clock.SECOND
    try:
        conditional_write.put_with(job, free, more_writes)
    except (PutError, TransactWriteError) as error:
        if not condition_failed(error):
            raise
        if not derived:
            return job  # the id is new, so an earlier try, whose response was lost, saved the row
        row = read(job.id)
        if row is None:  # the row has expired or was deleted since, so the id is free
            return _put(job, derived, more_writes)
        if more_writes:
            raise RowExists(row) from error
        return row
    return job
