"""The verbs of a job's life: saved, claimed, ended. Each write carries its own precondition.

With `store.owner_verbs` this is the only code that changes a JobRequest.
"""

import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from pynamodb.exceptions import PutError
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

import clock
from aws import bucket, clients
from aws.errors import AWS_ERRORS, condition_failed
from errors import PreconditionFailed
from settings import required
from store import blobs, conditional_write, earlier_errors
from store.job_request import (
    ROW_VERSION,
    JobRequest,
    Lane,
    Status,
    due_shard,
    new_id,
    sort_key,
)
from store.pauses import Pause, parked_entry
from store.queries import read

# Clocks of two machines may differ by this much: a lease outlives its invocation by it.
SKEW = clock.MINUTE
# A row that has been due for longer than two ticks: what comes due is more than the timer can meet.
_OVERDUE = 2 * clock.MINUTE
# A claim this much before run_at is in time: SQS rounds delays, clocks drift.
CLAIM_TOLERANCE = 2 * clock.SECOND


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
) -> JobRequest:
    """A new job, due: from here on it can't be lost. A large payload is stored first.

    `due_at` is when the timer looks for it if no message starts it. Under a `job_id` that was
    derived from what names the job, an unexpired row that has it stays as it is, and is returned.
    """
    derived, now = job_id is not None, clock.now()
    job_id = job_id or new_id()
    later = run_at is not None and run_at > now
    inline, key = blobs.put(f"payloads/{sort_key(now, job_id)}", payload)
    job = JobRequest(
        id=job_id,
        job_type=job_type,
        queue_name=queue_name,
        organization_id=organization_id,
        campaign_id=campaign_id,
        payload=inline,
        payload_key=key,
        request_id=request_id,
        request_hash=request_hash,
        parent_id=parent_id,
        created_by=created_by,
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
    row = _put(job, derived=derived)
    if key is not None and row.created_key != job.created_key:
        _drop_duplicate(key)
    return row


def _drop_duplicate(payload_key: str) -> None:
    """Delete the payload of a job that turned out to exist already, under a row with a payload of
    its own: deleting that job would not find it. If this fails, the bucket's lifecycle does it."""
    with suppress(*AWS_ERRORS):
        bucket.delete(payload_key)


def _put(job: JobRequest, *, derived: bool) -> JobRequest:
    free = JobRequest.id.does_not_exist()
    if derived:  # a row that has expired is gone for every reader, TTL may come days later
        free |= JobRequest.expires_at <= clock.now() // clock.SECOND
    try:
        job.save(free)
    except PutError as error:
        if not condition_failed(error):
            raise
        if not derived:
            return job  # the id was minted here: the row that has it was saved by a lost first try
        row = read(job.id)
        # None: it expired, or was deleted, between the two. Then its place is free.
        return _put(job, derived=True) if row is None else row
    return job


def claim(
    job_id: str, *, job_type: str, send_id: str, deadline: int, token: str | None = None
) -> JobRequest:
    """Take a job that any worker may take. The response of the write is the read.

    `deadline` is when this invocation ends for certain. Who calls again because a call failed gives
    the same `token` each time: by it a claim that landed unheard is known as its own. Attempt and
    due_at stay as they are: if the claimer dies, the row is still due. Only where its look may come
    long after the lease is over is it moved to that moment, in a second write. Raises
    PreconditionFailed unless the job is of this type, and queued, or scheduled or retryable with
    its time come; also for a row of newer code.
    """
    now, token = clock.now(), token or uuid.uuid4().hex
    job = JobRequest(id=job_id)
    row = conditional_write.write(
        "claim",
        job,
        [
            JobRequest.status.set(Status.RUNNING),
            JobRequest.claim_token.set(token),
            JobRequest.send_id.set(send_id),
            JobRequest.lease_until.set(deadline + SKEW),
            JobRequest.legs.set(JobRequest.legs + 1),
            JobRequest.started_at.set(now),
            JobRequest.attempt_started_at.set(JobRequest.attempt_started_at | now),
            JobRequest.updated_at.set(now),
        ],
        (JobRequest.row_version <= ROW_VERSION)
        & (JobRequest.job_type == job_type)  # ids that were derived may have come to mean another
        & (
            (JobRequest.status == Status.QUEUED)
            | (
                JobRequest.status.is_in(Status.SCHEDULED, Status.RETRYABLE)
                & (JobRequest.run_at <= now + CLAIM_TOLERANCE)
            )
        ),
        # Running too: a rescue leaves the token of a claimer that stood still, and is too late.
        already_applied=lambda row: row.status is Status.RUNNING and row.claim_token == token,
    )
    return _watched(row)


def _watched(row: JobRequest) -> JobRequest:
    """The row, due when its lease is over if the timer can't be relied on to look by then: its look
    is later, for it was in a backlog, or is overdue, for the timer is behind."""
    due_at, lease = row.due_at or 0, row.lease_until or 0
    if clock.now() - _OVERDUE <= due_at <= lease:
        return row
    try:
        return postpone(row, lease, Lane.PROMPT)
    except (PreconditionFailed, *AWS_ERRORS):
        return row  # the job is ours and can run. Whoever moved it looks; or it is due, only later


class Checkpoint(NamedTuple):
    """How far a job is: where it can resume, 0 to 100, and words for the person who waits."""

    cursor: Any
    progress: int
    message: str | None


def checkpoint(job: JobRequest, reached: Checkpoint) -> JobRequest:
    """Record how far a running job is. Raises PreconditionFailed if it is no longer ours.

    The row returned tells whether its owner has asked for it to stop.
    """
    return conditional_write.write(
        "checkpoint",
        job,
        [*_reached(reached), JobRequest.updated_at.set(clock.now())],
        conditional_write.owned_by_claim(job),
        already_applied=lambda row: False,  # repeating it is harmless, so a refusal is a refusal
    )


def renew(job: JobRequest, lease_until: int) -> JobRequest:
    """Let a running job keep its claim until then, for its process lives. Its look comes when the
    lease was to be over, and moves on. Raises PreconditionFailed if it is no longer ours."""
    return conditional_write.write(
        "renew",
        job,
        [JobRequest.lease_until.set(lease_until)],
        conditional_write.owned_by_claim(job),
        already_applied=lambda row: (
            row.claim_token == job.claim_token and row.lease_until == lease_until
        ),
    )


def succeed(job: JobRequest, result: Any, *, message: str | None = None) -> JobRequest:
    """The outcome of a running job that returned. A large result is stored first."""
    inline, key = blobs.put(job.result_folder, result)
    actions = [
        *conditional_write.finished(Status.SUCCEEDED),
        JobRequest.progress.set(100),
        JobRequest.result_key.set(key) if key else JobRequest.result.set(inline),
        JobRequest.error.remove(),  # an earlier attempt's
        *([JobRequest.result_message.set(message)] if message is not None else []),
    ]
    return _end_run(
        "succeed", job, actions, conditional_write.owned_by_claim(job), Status.SUCCEEDED
    )


def fail(job: JobRequest, error: dict[str, Any], *, rescue: bool = False) -> JobRequest:
    """The outcome of a running job that will not be tried again. If its owner has asked for it to
    stop, it does: the row returned is then cancelled.

    A `rescue` is for a job whose claimer is gone: it holds only once the lease, as read, is over.
    """
    condition = _held(job, rescue) & conditional_write.not_cancelled()
    return _or_stop(
        job,
        lambda: _end_run(
            "fail", job, conditional_write.failed(job, error), condition, Status.FAILED
        ),
        error=error,
        rescue=rescue,
    )


def stop(
    job: JobRequest,
    *,
    error: dict[str, Any] | None = None,
    reached: Checkpoint | None = None,
    rescue: bool = False,
) -> JobRequest:
    """The outcome of a running job whose owner has asked for it to stop. `error` is what ended it,
    if it did not stop of its own accord. For `rescue` see `fail`."""
    actions = [
        *conditional_write.finished(Status.CANCELLED),
        *(_reached(reached) if reached else []),
        *([JobRequest.error.set(error)] if error else []),
    ]
    condition = _held(job, rescue) & (JobRequest.cancel_requested == True)  # noqa: E712
    return _end_run("stop", job, actions, condition, Status.CANCELLED)


def retry(
    job: JobRequest,
    error: dict[str, Any],
    *,
    run_at: int,
    due_at: int,
    reached: Checkpoint | None = None,
    rescue: bool = False,
) -> JobRequest:
    """Another attempt for a running job whose attempt failed, not before `run_at`. If its owner has
    asked for it to stop, it does: the row returned is then cancelled.

    It resumes at what was reached, or else at the last written checkpoint. `due_at` is when the
    timer looks for it if no message starts it. For `rescue` see `fail`.
    """
    now = clock.now()
    actions = [
        JobRequest.status.set(Status.RETRYABLE),
        JobRequest.attempt.set(job.attempt + 1),
        JobRequest.attempt_started_at.remove(),
        JobRequest.error.set(error),
        JobRequest.earlier_errors.set(earlier_errors.after_attempt(job, error, now)),
        JobRequest.run_at.set(run_at),
        *conditional_write.due(job, due_at, Lane.PROMPT),
        JobRequest.lease_until.remove(),
        JobRequest.updated_at.set(now),
        *(_reached(reached) if reached else []),
    ]
    condition = (
        _held(job, rescue) & conditional_write.attempts_left() & conditional_write.not_cancelled()
    )
    return _or_stop(
        job,
        lambda: _end_run("retry", job, actions, condition, Status.RETRYABLE),
        error=error,
        reached=reached,
        rescue=rescue,
    )


def end_leg(job: JobRequest, reached: Checkpoint) -> JobRequest:
    """A running job whose invocation is nearly over goes on in another: same attempt, queued. If
    its owner has asked for it to stop, it does: the row returned is then cancelled."""
    actions = [*conditional_write.queued(job, Lane.PROMPT), *_reached(reached)]
    condition = conditional_write.owned_by_claim(job) & conditional_write.not_cancelled()
    return _or_stop(
        job,
        lambda: _end_run("end_leg", job, actions, condition, Status.QUEUED),
        reached=reached,
    )


def release(job: JobRequest) -> JobRequest:
    """Give back a claimed job whose function was not called: queued as before its claim, which is
    not counted as a leg. If its owner has asked for it to stop, it does: the row returned is then
    cancelled.

    `queued_at` stays, so that the timer's looks grow further apart, and `start_within` counts on.
    """
    first_of_attempt = job.attempt_started_at == job.started_at
    actions = [
        *conditional_write.queued_as_before(job, Lane.PROMPT),
        JobRequest.legs.set(job.legs - 1),
        *([JobRequest.attempt_started_at.remove()] if first_of_attempt else []),
        *([JobRequest.started_at.remove()] if job.legs == 1 else []),
    ]
    condition = conditional_write.owned_by_claim(job) & conditional_write.not_cancelled()
    return _or_stop(job, lambda: _end_run("release", job, actions, condition, Status.QUEUED))


def park(
    job: JobRequest, pause: Pause, *, due_at: int, reached: Checkpoint | None = None
) -> JobRequest:
    """Park a job under a pause.

    It is a job that a worker could claim now, or that runs under our claim and has `reached` this
    far, or that another pause has parked until now.

    `due_at` is when the timer checks it. The row and its entry under the pause change together. If
    its owner has asked for it to stop, it stops: the row returned is then cancelled.
    """
    waits = job.status is Status.WAITING
    since = (job.waiting_since if waits else None) or clock.now()
    actions = [
        *conditional_write.waiting(job, pause.sk, since, due_at),
        *(_reached(reached) if reached else []),
    ]
    condition = conditional_write.as_read(job) & conditional_write.not_cancelled()
    return _or_stop(
        job,
        lambda: conditional_write.write_with(
            "park",
            job,
            actions,
            condition,
            already_applied=lambda row: row.status is Status.WAITING and row.held_by == pause.sk,
            put=parked_entry(pause.sk, job, since),
            drop=parked_entry(job.held_by, job, since) if job.held_by else None,
        ),
        reached=reached,
    )


def admit(job: JobRequest) -> JobRequest:
    """Queue a parked job again. The time it waited counts against none of its limits."""
    since = job.waiting_since or clock.now()
    waited = max(0, clock.now() - since)
    actions = [
        *conditional_write.queued(job, Lane.PROMPT),
        JobRequest.waiting_since.remove(),
        JobRequest.held_by.remove(),
    ]
    if job.attempt_started_at is not None:
        actions.append(JobRequest.attempt_started_at.set(job.attempt_started_at + waited))
    return conditional_write.write_with(
        "admit",
        job,
        actions,
        conditional_write.as_read(job)
        & (JobRequest.status == Status.WAITING)
        & (JobRequest.waiting_since == job.waiting_since),
        already_applied=lambda row: (
            row.status is Status.QUEUED and row.claim_token == job.claim_token
        ),
        drop=parked_entry(job.held_by, job, since) if job.held_by else None,
    )


def expire(job: JobRequest, error: dict[str, Any]) -> JobRequest:
    """The outcome of a job that nobody has started, has gone on with or has let go, until it was
    too late to be useful. Holds only for the row exactly as it was read."""
    return conditional_write.write(
        "expire",
        job,
        conditional_write.failed(job, error),
        conditional_write.as_read(job)
        & (JobRequest.due_at == job.due_at)
        & JobRequest.status.is_in(
            Status.QUEUED, Status.SCHEDULED, Status.RETRYABLE, Status.WAITING
        ),
        already_applied=lambda row: row.status is Status.FAILED and row.legs == job.legs,
    )


def postpone(job: JobRequest, due_at: int, lane: Lane) -> JobRequest:
    """Move the time a row wants attention, and the lane it waits in. Holds only for the row exactly
    as it was read."""
    return conditional_write.write(
        "postpone",
        job,
        conditional_write.due(job, due_at, lane),
        conditional_write.as_read(job) & (JobRequest.due_at == job.due_at),
        already_applied=lambda row: row.due_at == due_at,
    )


def set_aside(job_id: str, *, seen_due_at: int, due_at: int) -> None:
    """Move the time of a row that can't be read, or not be dealt with, so that it keeps no other
    waiting. Holds only if nobody else has moved it."""
    clients.client("dynamodb").update_item(
        TableName=required(JobRequest.table_setting, "JobRequest"),
        Key={"id": {"S": job_id}},
        UpdateExpression="SET due_at = :later, due_shard = :shard",
        ConditionExpression="due_at = :seen",
        ExpressionAttributeValues={
            ":seen": {"N": str(seen_due_at)},
            ":later": {"N": str(due_at)},
            ":shard": {"S": due_shard(job_id, Lane.PARKED)},
        },
    )


def _reached(reached: Checkpoint) -> list[Action]:
    actions: list[Action] = [JobRequest.progress.set(reached.progress)]
    if reached.cursor is not None:
        actions.append(JobRequest.cursor.set(reached.cursor))
    if reached.message is not None:
        actions.append(JobRequest.result_message.set(reached.message))
    return actions


def _held(job: JobRequest, rescue: bool) -> Condition:
    return conditional_write.lease_expired(job) if rescue else conditional_write.owned_by_claim(job)


def _or_stop(job: JobRequest, write: Callable[[], JobRequest], **how: Any) -> JobRequest:
    """The write; or if it was refused because its owner has asked for the job to stop, that."""
    try:
        return write()
    except PreconditionFailed as refused:
        row = refused.row
        ours = row is not None and row.claim_token == job.claim_token
        if ours and row.status is Status.RUNNING and row.cancel_requested:
            return stop(job, **how)
        raise


def _end_run(
    verb: str, job: JobRequest, actions: list[Action], condition: Condition, to: Status
) -> JobRequest:
    token = job.claim_token
    return conditional_write.write(
        verb,
        job,
        actions,
        condition,
        already_applied=lambda row: row.status == to and row.claim_token == token,
    )
