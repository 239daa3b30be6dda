"""The transition that saves a new job."""

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from pynamodb.exceptions import PutError, TransactWriteError

from job_runners import clock
from job_runners.aws.errors import AWS_ERRORS, condition_failed
from job_runners.errors import PreconditionFailed
from job_runners.store import blobs, conditional_write
from job_runners.store.conditional_write import Change
from job_runners.store.job_request import (
    JobRequest,
    Lane,
    Status,
    due_shard,
    new_id,
    sort_key,
    unfinished_key,
)
from job_runners.store.queries import read
from job_runners.store.transactions import NotWritten, RecordWrite, RowExists

if TYPE_CHECKING:
    from job_runners.store.uniqueness import HeldKey


class NewJob(NamedTuple):
    """A job that is about to be saved. Its fields mean the same as those of JobRequest."""

    job_type: str
    queue_name: str
    organization_id: str
    payload: Any
    max_attempts: int
    attempt_limit: int | None = None  # the most attempts that its dispatch asked for
    # None for a random id. Otherwise the id is derived from the request, and a row with this id may
    # already exist.
    job_id: str | None = None
    run_at: int | None = None  # if it is in the future, the job waits until then
    # When the timer checks the job if no message starts it. None means in a minute.
    due_at: int | None = None
    concurrency_key: str | None = None  # the key of its line, if its queue has limits
    unique_key: str | None = None  # its key, if the work is unique
    counted: bool = False  # whether its organization's quota counts the job
    batch_total: int | None = None  # how many members a quota counts, if it is a batch
    # Its follow-ups, in the form of `follow_ups.stored_form`.
    on_end: dict[str, Any] | None = None
    on_failure: dict[str, Any] | None = None
    announcement: dict[str, Any] | None = None
    follow_up_of: str | None = None  # the job whose end it announces
    parent_id: str | None = None  # the job that dispatches it
    group_of: str | None = None  # the parent's group that this job is in
    member_of: str | None = None
    member_mark: str | None = None
    created_by: str | None = None  # its author, as "role:name"
    request_id: str | None = None
    request_hash: str | None = None  # of the contents of a request with an idempotency key
    traceparent: str | None = None
    rerun_of: dict[str, Any] | None = None  # see job_runners.store.copied_steps


def save(
    new_job: NewJob, *, follows: "HeldKey | None" = None, more_writes: Sequence[RecordWrite] = ()
) -> Change:
    """Save a new job. From then on it has a due time, so it can't be lost.

    A payload that is too large for the row is stored first. `more_writes` are part of the same
    transaction as the row. Unique work takes its `unique_key` in that transaction too. With
    `follows`, the job instead waits for the end of the job that has the key, and gets the key then.

    If `job_id` is derived, a row may have it already. Unless that row has expired, it stays
    unchanged, and the change is not `is_new`. With `more_writes`, RowExists is raised instead.

    Raises RaceLost if one of `more_writes` is refused, or if `follows` has changed since it was
    read. Raises KeyTaken if another job has the key. Raises PreconditionFailed if other jobs keep
    taking the key and giving it up.
    """
    row = _new_row(new_job, follows)
    return Change(row, _put_or_drop(row, new_job.job_id is not None, follows, more_writes))


def _new_row(new_job: NewJob, follows: "HeldKey | None") -> JobRequest:
    """Return the row of a new job. Its payload is stored now if it is too large for a row."""
    now, job_id = clock.now(), new_job.job_id or new_id()
    run_at = new_job.run_at if new_job.run_at is not None and new_job.run_at > now else None
    status, lane = _start(run_at, follows)
    copied_signals = (new_job.rerun_of or {}).get("signals") or None
    inline, payload_key = blobs.put(f"payloads/{sort_key(now, job_id)}", new_job.payload)
    return JobRequest(
        id=job_id,
        job_type=new_job.job_type,
        queue_name=new_job.queue_name,
        concurrency_key=new_job.concurrency_key,
        unique_key=new_job.unique_key,
        first_run_at=None if new_job.unique_key is None else run_at or now,
        is_follower=None if follows is None else True,
        waiting_since=None if follows is None else now,
        held_by=None if follows is None else follows.follower_held_by,
        unfinished_organization=_unfinished_key(new_job),
        batch_total=new_job.batch_total,
        organization_id=new_job.organization_id,
        payload=inline,
        payload_key=payload_key,
        request_id=new_job.request_id,
        request_hash=new_job.request_hash,
        on_end=new_job.on_end,
        on_failure=new_job.on_failure,
        announcement=new_job.announcement,
        follow_up_of=new_job.follow_up_of,
        parent_id=new_job.parent_id,
        group_of=new_job.group_of,
        member_of=new_job.member_of,
        member_mark=new_job.member_mark,
        created_by=new_job.created_by,
        traceparent=new_job.traceparent,
        rerun_of=new_job.rerun_of,
        signals=copied_signals,
        has_waited=True if copied_signals else None,
        status=status,
        max_attempts=new_job.max_attempts,
        attempt_limit=new_job.attempt_limit,
        run_at=run_at,
        due_at=now + conditional_write.GRACE if new_job.due_at is None else new_job.due_at,
        due_shard=due_shard(job_id, lane),
        created_at=now,
        created_key=sort_key(now, job_id),
        queued_at=now,
        updated_at=now,
    )


def _unfinished_key(new_job: NewJob) -> str | None:
    if not new_job.counted:
        return None
    return unfinished_key(new_job.organization_id, new_job.batch_total)


def _start(run_at: int | None, follows: "HeldKey | None") -> tuple[Status, Lane]:
    if follows is not None:
        return Status.WAITING, Lane.HELD
    if run_at is not None:
        return Status.SCHEDULED, Lane.PROMPT
    return Status.QUEUED, Lane.QUEUED


def _put_or_drop(
    job: JobRequest, derived: bool, follows: "HeldKey | None", more_writes: Sequence[RecordWrite]
) -> JobRequest:
    """Put the row. If it can't be put, delete the object that was stored for its payload."""
    key = job.payload_key
    try:
        row = (
            _put(job, derived, more_writes)
            if job.unique_key is None
            else _put_unique(job, derived, follows, more_writes)
        )
    except (NotWritten, PreconditionFailed) as error:
        # A row with the same id, created in the same millisecond, uses the same object.
        uses_payload = isinstance(error, RowExists) and error.row.created_key == job.created_key
        if not uses_payload:
            drop_duplicate(key)
        raise
    if row.created_key != job.created_key:
        drop_duplicate(key)
    return row


def _put_unique(
    job: JobRequest, derived: bool, follows: "HeldKey | None", more_writes: Sequence[RecordWrite]
) -> JobRequest:
    from job_runners.store import uniqueness  # imported here because most jobs have no key

    def put(key_writes: list[RecordWrite]) -> JobRequest:
        return _put(job, derived, [*more_writes, *key_writes])

    if follows is not None:
        return put(uniqueness.writes_to_follow(follows, job))
    return uniqueness.save_with_key(str(job.unique_key), job, put)


def drop_duplicate(payload_key: str | None) -> None:
    """Delete the object of a payload that no row uses, if the payload was too large for a row.

    Nothing else would delete this object before the bucket's lifecycle does.
    """
    if payload_key is None:
        return
    from job_runners.aws import bucket  # imported here because few payloads are too large for a row

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
