"""The verbs: the only code that changes a JobRequest. Each write carries its own precondition.

A write whose response is lost is repeated by botocore and then fails its own condition. So a
refused verb reads the row once: if the row shows that this very write landed, that is success.
"""

import uuid
from collections.abc import Callable
from typing import Any, NamedTuple

from pynamodb.exceptions import PutError, UpdateError
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from errors import PreconditionFailed
from settings import required, settings
from store import aws, blobs, clock
from store.job_request import JobRequest, Status, due_shard, new_id, sort_key
from store.queries import read

# How long a row waits before the timer looks whether its message arrived.
GRACE = clock.MINUTE
# Clocks of two machines may differ by this much: a lease outlives its invocation by it.
SKEW = clock.MINUTE
# A claim this much before run_at is in time: SQS rounds delays, clocks drift.
EARLY = 2 * clock.SECOND


def save(
    *,
    job_type: str,
    queue_name: str,
    organization_id: str,
    payload: Any,
    max_attempts: int,
    campaign_id: str | None = None,
    request_id: str | None = None,
) -> JobRequest:
    """A new job, queued and due: from here on it can't be lost. A large payload is stored first."""
    job_id, now = new_id(), clock.now()
    inline, key = blobs.put(f"payloads/{job_id}", payload)
    job = JobRequest(
        id=job_id,
        job_type=job_type,
        queue_name=queue_name,
        organization_id=organization_id,
        campaign_id=campaign_id,
        payload=inline,
        payload_key=key,
        request_id=request_id,
        status=Status.QUEUED,
        max_attempts=max_attempts,
        due_at=now + GRACE,
        due_shard=due_shard(job_id),
        created_at=now,
        created_key=sort_key(now, job_id),
        queued_at=now,
        updated_at=now,
    )
    try:
        job.save(JobRequest.id.does_not_exist())
    except PutError as error:
        # The id was minted here: a row that has it is this row, saved by a lost first try.
        if not _condition_failed(error):
            raise
    return job


def claim(job_id: str, *, send_id: str, deadline: int) -> JobRequest:
    """Take a job that waits to be run. The response of the write is the read.

    `deadline` is when this invocation ends for certain. Attempt and due_at stay as they are: if the
    claimer dies, the row is still due. Raises PreconditionFailed unless the job is queued, or
    retryable with its time come.
    """
    now, token = clock.now(), uuid.uuid4().hex
    job = JobRequest(id=job_id)
    return _change(
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
        (JobRequest.status == Status.QUEUED)
        | ((JobRequest.status == Status.RETRYABLE) & (JobRequest.run_at <= now + EARLY)),
        # Running too: a rescue leaves the token of a claimer that stood still, and is too late.
        landed=lambda row: row.status is Status.RUNNING and row.claim_token == token,
    )


class Reached(NamedTuple):
    """How far a job is: where it can resume, 0 to 100, and words for the person who waits."""

    cursor: Any
    progress: int
    message: str | None


def checkpoint(job: JobRequest, reached: Reached) -> JobRequest:
    """Record how far a running job is. Raises PreconditionFailed if it is no longer ours."""
    return _change(
        "checkpoint",
        job,
        [*_reached(reached), JobRequest.updated_at.set(clock.now())],
        _ours(job),
        landed=lambda row: False,  # repeating it is harmless, so a refusal is a refusal
    )


def succeed(job: JobRequest, result: Any, *, message: str | None = None) -> JobRequest:
    """The outcome of a running job that returned. A large result is stored first."""
    inline, key = blobs.put(f"results/{job.organization_id}/{job.id}", result)
    actions = [
        *_finished(Status.SUCCEEDED),
        JobRequest.progress.set(100),
        JobRequest.result_key.set(key) if key else JobRequest.result.set(inline),
        JobRequest.error.remove(),  # an earlier attempt's
        *([JobRequest.result_message.set(message)] if message is not None else []),
    ]
    return _end_run("succeed", job, actions, _ours(job), Status.SUCCEEDED)


def fail(job: JobRequest, error: dict[str, Any], *, rescue: bool = False) -> JobRequest:
    """The outcome of a running job that will not be tried again.

    A `rescue` is for a job whose claimer is gone: it holds only once the lease, as read, is over.
    """
    condition = _abandoned(job) if rescue else _ours(job)
    return _end_run("fail", job, _failed(job, error), condition, Status.FAILED)


def retry(
    job: JobRequest,
    error: dict[str, Any],
    *,
    run_at: int,
    due_at: int,
    reached: Reached | None = None,
    rescue: bool = False,
) -> JobRequest:
    """Another attempt for a running job whose attempt failed, not before `run_at`.

    It resumes at what was reached, or else at the last written checkpoint. `due_at` is when the
    timer looks for it if no message starts it. For `rescue` see `fail`.
    """
    actions = [*_again(job, error, run_at, due_at), *(_reached(reached) if reached else [])]
    condition = _abandoned(job) if rescue else _ours(job)
    return _end_run("retry", job, actions, condition & _attempts_left(), Status.RETRYABLE)


def end_leg(job: JobRequest, reached: Reached) -> JobRequest:
    """A running job whose invocation is nearly over goes on in another: same attempt, queued."""
    actions = [*_queued(), *_reached(reached)]
    return _end_run("end_leg", job, actions, _ours(job), Status.QUEUED)


def expire(job: JobRequest, error: dict[str, Any]) -> JobRequest:
    """The outcome of a job that nobody has started, and that is now too late to be useful."""
    return _change(
        "expire",
        job,
        _failed(job, error),
        (JobRequest.status == Status.QUEUED)
        & (JobRequest.legs == 0)
        & (JobRequest.due_at == job.due_at),
        landed=lambda row: row.status == Status.FAILED and row.legs == 0,
    )


def postpone(job: JobRequest, due_at: int) -> JobRequest:
    """Move the time a row wants attention. Holds only for the row exactly as it was read."""
    return _change(
        "postpone",
        job,
        [JobRequest.due_at.set(due_at)],
        (JobRequest.due_at == job.due_at)
        & (JobRequest.status == job.status)
        & _same(JobRequest.claim_token, job.claim_token),
        landed=lambda row: row.due_at == due_at,
    )


def set_aside(job_id: str, *, seen_due_at: int, due_at: int) -> None:
    """Move the time of a row that can't be read, or not be dealt with, so that it keeps no other
    waiting. Holds only if nobody else has moved it."""
    aws.client("dynamodb").update_item(
        TableName=required(JobRequest.table_setting, "JobRequest"),
        Key={"id": {"S": job_id}},
        UpdateExpression="SET due_at = :later",
        ConditionExpression="due_at = :seen",
        ExpressionAttributeValues={":seen": {"N": str(seen_due_at)}, ":later": {"N": str(due_at)}},
    )


# --- what verbs do ------------------------------------------------------------------------------


def _reached(reached: Reached) -> list[Action]:
    actions: list[Action] = [JobRequest.progress.set(reached.progress)]
    if reached.cursor is not None:
        actions.append(JobRequest.cursor.set(reached.cursor))
    if reached.message is not None:
        actions.append(JobRequest.result_message.set(reached.message))
    return actions


def _finished(status: Status) -> list[Action]:
    """The row leaves the due index for good. Token and send id stay: they tell whose outcome it is,
    to a late message and to a write whose response was lost."""
    now = clock.now()
    return [
        JobRequest.status.set(status),
        JobRequest.finished_at.set(now),
        JobRequest.updated_at.set(now),
        JobRequest.expires_at.set((now + settings().retention_days * clock.DAY) // clock.SECOND),
        JobRequest.due_at.remove(),
        JobRequest.due_shard.remove(),
        JobRequest.lease_until.remove(),
    ]


def _failed(job: JobRequest, error: dict[str, Any]) -> list[Action]:
    return [
        *_finished(Status.FAILED),
        JobRequest.error.set(error),
        JobRequest.failed_organization.set(job.organization_id),
        JobRequest.failed_key.set(sort_key(clock.now(), job.id)),
    ]


def _queued() -> list[Action]:
    now = clock.now()
    return [
        JobRequest.status.set(Status.QUEUED),
        JobRequest.queued_at.set(now),
        JobRequest.due_at.set(now + GRACE),
        JobRequest.lease_until.remove(),
        JobRequest.updated_at.set(now),
    ]


def _again(job: JobRequest, error: dict[str, Any], run_at: int, due_at: int) -> list[Action]:
    return [
        JobRequest.status.set(Status.RETRYABLE),
        JobRequest.attempt.set(job.attempt + 1),
        JobRequest.attempt_started_at.remove(),
        JobRequest.error.set(error),
        JobRequest.run_at.set(run_at),
        JobRequest.due_at.set(due_at),
        JobRequest.lease_until.remove(),
        JobRequest.updated_at.set(clock.now()),
    ]


# --- what verbs start from ------------------------------------------------------------------------


def _ours(job: JobRequest) -> Condition:
    ours: Condition = (JobRequest.status == Status.RUNNING) & (
        JobRequest.claim_token == job.claim_token
    )
    return ours


def _abandoned(job: JobRequest) -> Condition:
    abandoned: Condition = (
        _ours(job)
        & (JobRequest.lease_until == job.lease_until)
        & (JobRequest.lease_until < clock.now())
        & (JobRequest.due_at == job.due_at)
    )
    return abandoned


def _attempts_left() -> Condition:
    left: Condition = JobRequest.attempt < JobRequest.max_attempts
    return left


def _same(attribute: Any, seen: Any) -> Condition:
    condition: Condition = attribute.does_not_exist() if seen is None else attribute == seen
    return condition


def _end_run(
    verb: str, job: JobRequest, actions: list[Action], condition: Condition, to: Status
) -> JobRequest:
    token = job.claim_token
    return _change(
        verb,
        job,
        actions,
        condition,
        landed=lambda row: row.status == to and row.claim_token == token,
    )


def _change(
    verb: str,
    job: JobRequest,
    actions: list[Action],
    condition: Condition,
    *,
    landed: Callable[[JobRequest], bool],
) -> JobRequest:
    try:
        job.update(actions, condition)
    except UpdateError as error:
        if not _condition_failed(error):
            raise
        row = read(job.id)
        if row is None or not landed(row):
            found = "gone" if row is None else row.state
            raise PreconditionFailed(verb, job.id, found, row) from error
        return row
    return job


def _condition_failed(error: PutError | UpdateError) -> bool:
    return error.cause_response_code == "ConditionalCheckFailedException"
