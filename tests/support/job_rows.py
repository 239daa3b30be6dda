"""Rows of a job in any state, made by the transitions themselves."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from job_runners import clock
from job_runners.aws import clients
from job_runners.store import queries, transitions
from job_runners.store.job_request import JobRequest
from job_runners.store.transactions import RecordWrite
from job_runners.store.transitions import Checkpoint

ERROR = {"kind": "ValueError", "message": "no luck", "traceback": ""}


def saved(
    max_attempts: int = 3, *, more_writes: Sequence[RecordWrite] = (), **changes: Any
) -> JobRequest:
    new_job = transitions.NewJob(
        job_type="sample_again",
        queue_name="default",
        organization_id="org",
        payload={"number": 1},
        max_attempts=max_attempts,
        **changes,
    )
    return transitions.save(new_job, more_writes=more_writes).after


def claimed(job: JobRequest | None = None, deadline: int | None = None) -> JobRequest:
    job = job or saved()
    return transitions.claim(
        job.id,
        job_type=job.job_type,
        send_id="send",
        deadline=deadline or clock.now() + 900 * clock.SECOND,
    ).after


def stored(job: JobRequest) -> JobRequest:
    row = queries.read(job.id)
    assert row is not None
    return row


def make_unreadable(row: JobRequest, field: str = "status") -> None:
    """Write what this code does not expect there, as a newer deploy may."""
    clients.client("dynamodb").update_item(
        TableName="jobs",
        Key={"id": {"S": row.id}},
        UpdateExpression="SET #field = :text",
        ExpressionAttributeNames={"#field": field},
        ExpressionAttributeValues={":text": {"S": "of tomorrow"}},
    )


def retry(job: JobRequest, after: int = 0) -> JobRequest:
    now, checkpoint = clock.now(), Checkpoint(job.cursor, job.progress, None)
    return transitions.retry(
        job, ERROR, run_at=now + after, due_at=now + 60_000, checkpoint=checkpoint
    ).after


def abandon(job: JobRequest, monkeypatch: pytest.MonkeyPatch) -> JobRequest:
    """Let the lease run out and the timer find it."""
    later = (job.lease_until or 0) + 1
    monkeypatch.setattr(clock, "now", lambda: later)
    return transitions.retry(stored(job), ERROR, run_at=later, due_at=later, rescue=True).after


ENDINGS: dict[str, Callable[[JobRequest], JobRequest]] = {
    "succeed": lambda job: transitions.succeed(job, {"n": 1}).after,
    "fail": lambda job: transitions.fail(job, ERROR).after,
    "retry": retry,
    "end_invocation": lambda job: (
        transitions.end_invocation(job, Checkpoint({"at": 1}, 50, None)).after
    ),
}
