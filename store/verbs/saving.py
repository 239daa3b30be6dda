"""The verb that saves a new job."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from pynamodb.exceptions import PutError, TransactWriteError

import clock
from aws import bucket
from aws.errors import AWS_ERRORS, condition_failed
from store import blobs, conditional_write
from store.conditional_write import Also, RowThere
from store.job_request import LIMITED, JobRequest, Lane, Status, due_shard, new_id, sort_key
from store.queries import read


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
    also: Sequence[Also] = (),
) -> JobRequest:
    """Save a new job, due: from here on it can't be lost. A large payload is stored first.

    `due_at` is when the timer checks it if no message starts it. `queue_key` is the key of its
    line, if its queue has limits. One that is `counted` is of its organisation's quota. Under a
    `job_id` that was derived from what names the job, an unexpired row that has it stays as it is,
    and is returned. `also` is written in one transaction with the row: raises RaceLost if one of
    those is not as it was read, and RowThere instead of returning a row that was there.
    """
    derived, now = job_id is not None, clock.now()
    job_id = job_id or new_id()
    later = run_at is not None and run_at > now
    inline, key = blobs.put(f"payloads/{sort_key(now, job_id)}", payload)
    job = JobRequest(
        id=job_id,
        job_type=job_type,
        queue_name=queue_name,
        queue_key=queue_key,
        row_version=LIMITED if counted or queue_key is not None else 1,
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
        status=Status.SCHEDULED if later else Status.QUEUED,
        max_attempts=max_attempts,
        run_at=run_at if later else None,
        due_at=now + conditional_write.GRACE if due_at is None else due_at,
        due_shard=due_shard(job_id, Lane.PROMPT if later else Lane.QUEUED),
        created_at=now,
        created_key=sort_key(now, job_id),
        queued_at=now,
        updated_at=now,
    )
    row = _put(job, derived, also)
    if key is not None and row.created_key != job.created_key:
        _drop_duplicate(key)
    return row


def _drop_duplicate(payload_key: str) -> None:
    """Delete the payload of a job that turned out to exist already.

    The row of that job has a payload of its own, so deleting the job would not find this one. If
    this fails, the bucket's lifecycle does it.
    """
    with suppress(*AWS_ERRORS):
        bucket.delete(payload_key)


def _put(job: JobRequest, derived: bool, also: Sequence[Also]) -> JobRequest:
    free = JobRequest.id.does_not_exist()
    if derived:  # a row that has expired is gone for every reader, TTL may come days later
        free |= JobRequest.expires_at <= clock.now() // clock.SECOND
    try:
        conditional_write.put_with(job, free, also)
    except (PutError, TransactWriteError) as error:
        if not condition_failed(error):
            raise
        if not derived:
            return job  # the id was minted here: the row that has it was saved by a lost first try
        row = read(job.id)
        if row is None:  # it expired, or was deleted, between the two: its place is free
            return _put(job, derived, also)
        if also:
            raise RowThere(row) from error
        return row
    return job
