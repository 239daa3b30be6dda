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


class _RowGone(NotWritten):
    """A new row was refused because another row had its id, but that row has been deleted since."""


class NewJob(NamedTuple):
    """A job that is about to be saved. The fields mean the same as those of JobRequest."""

    job_type: str
    queue_name: str
    organization_id: str
    payload: Any
    max_attempts: int
    attempt_limit: int | None = None
    # An id that was derived from the request. A row with this id may already exist. If this is
    # None, the job gets a random id.
    job_id: str | None = None
    run_at: int | None = None  # a time in the future at which the job may start
    # When the timer checks the job, in case no message starts it. None means in a minute.
    due_at: int | None = None
    concurrency_key: str | None = None
    unique_key: str | None = None
    counted: bool = False  # whether the organization's quota counts the job
    batch_total: int | None = None
    # in the form of `follow_ups.stored_form`
    on_end: dict[str, Any] | None = None
    on_failure: dict[str, Any] | None = None
    announcement: dict[str, Any] | None = None
    follow_up_of: str | None = None
    parent_id: str | None = None
    group_of: str | None = None
    member_of: str | None = None
    member_mark: str | None = None
    created_by: str | None = None
    request_id: str | None = None
    request_hash: str | None = None
    traceparent: str | None = None
    rerun_of: dict[str, Any] | None = None


_OTHER_FIELDS = {"payload", "job_id", "run_at", "due_at", "counted"}
_COPIED_FIELDS = tuple(name for name in NewJob._fields if name not in _OTHER_FIELDS)


def save(
    new_job: NewJob, *, follows: "HeldKey | None" = None, more_writes: Sequence[RecordWrite] = ()
) -> Change:
    """Save a new job. Its row has a due time, so the timer finds it even if no message starts it.

    A payload that is too large for the row is stored first. `more_writes` are part of the row's
    transaction. If `new_job` has a `unique_key`, the transaction also takes this key. But if
    `follows` is passed, the job waits until the job with the key ends, and then gets the key.

    If `new_job` has a `job_id`, a row may already have that id. If that row hasn't expired, nothing
    is saved. The returned change then contains that row, and its `is_new` is False. But if there
    are `more_writes`, this raises RowExists.

    Raises RaceLost if one of `more_writes` is refused, or if `follows` has changed since it was
    read. Raises KeyTaken if another job has the key. Raises PreconditionFailed if other jobs keep
    taking the key and giving it up.
    """
    has_derived_id = new_job.job_id is not None
    while True:
        row = _new_row(new_job, follows)
        # After _RowGone, the id is free, so try again. This needs a new row, because an earlier try
        # may have saved the row that is now deleted, and its payload was deleted with it.
        with suppress(_RowGone):
            return Change(row, _put_or_drop_payload(row, has_derived_id, follows, more_writes))


def _new_row(new_job: NewJob, follows: "HeldKey | None") -> JobRequest:
    """Return the row of a new job. Store its payload if it is too large for a row."""
    now = clock.now()
    job_id = new_job.job_id or new_id()
    run_at = new_job.run_at
    if run_at is not None and run_at <= now:
        run_at = None
    status, lane = _first_status(run_at, follows)
    copied_signals = (new_job.rerun_of or {}).get("signals")
    inline, payload_key = blobs.put(f"payloads/{sort_key(now, job_id)}", new_job.payload)
    return JobRequest(
        **{name: getattr(new_job, name) for name in _COPIED_FIELDS},
        id=job_id,
        first_run_at=None if new_job.unique_key is None else run_at or now,
        is_follower=None if follows is None else True,
        waiting_since=None if follows is None else now,
        held_by=None if follows is None else follows.follower_held_by,
        unfinished_organization=_unfinished_key(new_job),
        payload=inline,
        payload_key=payload_key,
        signals=copied_signals,
        has_waited=True if copied_signals else None,
        status=status,
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


def _first_status(run_at: int | None, follows: "HeldKey | None") -> tuple[Status, Lane]:
    if follows is not None:
        return Status.WAITING, Lane.HELD
    if run_at is not None:
        return Status.SCHEDULED, Lane.PROMPT
    return Status.QUEUED, Lane.QUEUED


def _put_or_drop_payload(
    job: JobRequest,
    has_derived_id: bool,
    follows: "HeldKey | None",
    more_writes: Sequence[RecordWrite],
) -> JobRequest:
    """Write the row. If that fails, delete the object that was stored for its payload."""
    try:
        if job.unique_key is None:
            row = _put(job, has_derived_id, more_writes)
        else:
            row = _put_unique(job, has_derived_id, follows, more_writes)
    except (NotWritten, PreconditionFailed) as error:
        # A row with the same id and the same millisecond of creation uses the same object.
        uses_payload = isinstance(error, RowExists) and error.row.created_key == job.created_key
        if not uses_payload:
            drop_duplicate(job.payload_key)
        raise
    if row.created_key != job.created_key:
        drop_duplicate(job.payload_key)
    return row


def _put_unique(
    job: JobRequest,
    has_derived_id: bool,
    follows: "HeldKey | None",
    more_writes: Sequence[RecordWrite],
) -> JobRequest:
    from job_runners.store import uniqueness  # imported here because most jobs have no key

    def put(key_writes: list[RecordWrite]) -> JobRequest:
        return _put(job, has_derived_id, [*more_writes, *key_writes])

    if follows is not None:
        return put(uniqueness.writes_to_follow(follows, job))
    return uniqueness.save_with_key(str(job.unique_key), job, put)


def drop_duplicate(payload_key: str | None) -> None:
    """Delete the object of a payload that no row uses. A small payload has no object.

    Otherwise, the object would stay until the bucket's lifecycle rule deletes it.
    """
    if payload_key is None:
        return
    from job_runners.aws import bucket  # imported here because few payloads are too large for a row

    with suppress(*AWS_ERRORS):
        bucket.delete(payload_key)


def _put(job: JobRequest, has_derived_id: bool, more_writes: Sequence[RecordWrite]) -> JobRequest:
    """Write the row and return it. If another row already has its id, return that row."""
    is_free = JobRequest.id.does_not_exist()
    if has_derived_id:  # TTL may delete an expired row days later, but its id is free
        is_free |= JobRequest.expires_at <= clock.now() // clock.SECOND
    try:
        conditional_write.put_with(job, is_free, more_writes)
    except (PutError, TransactWriteError) as error:
        if not condition_failed(error):
            raise
        if not has_derived_id:
            # The id is random, so the existing row is this one. An earlier try saved it, and only
            # the response was lost.
            return job
        row = read(job.id)
        if row is None:
            raise _RowGone from error
        if more_writes:
            raise RowExists(row) from error
        return row
    return job
