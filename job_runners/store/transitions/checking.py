"""The transitions of rows that the timer function finds due: expire, postpone, set_aside.

The *holdings* of a job are its slot, its unique key, and its entry in a line or under a pause.
"""

from collections.abc import Sequence
from typing import Any

from pynamodb.expressions.update import Action

from job_runners.aws import clients
from job_runners.settings import required
from job_runners.store import conditional_write, holdings
from job_runners.store.conditional_write import Change, JobEnd
from job_runners.store.job_request import JobRequest, Lane, Status, due_shard


def expire(job: JobRequest, error: dict[str, Any]) -> Change:
    """Fail a job that wasn't started, continued or admitted in time, and free its holdings.

    Raises PreconditionFailed if the row has changed since it was read.
    """
    end = JobEnd(Status.FAILED, error)
    return holdings.write_and_free(
        "expire",
        job,
        conditional_write.fail_actions(job, end),
        conditional_write.unchanged(job)
        & conditional_write.same(JobRequest.replaced_by, job.replaced_by)
        & (JobRequest.due_at == job.due_at)
        & JobRequest.status.is_in(
            Status.QUEUED, Status.SCHEDULED, Status.RETRYABLE, Status.WAITING
        ),
        already_applied=lambda row: (
            row.status is Status.FAILED and row.invocations == job.invocations
        ),
        release=holdings.Release.everything(job, end),
    )


def postpone(
    job: JobRequest, due_at: int, lane: Lane, more_actions: Sequence[Action] = ()
) -> Change:
    """Set the time and the lane of the timer's next check of a row.

    `more_actions` change the row further. Raises PreconditionFailed if the row has changed since it
    was read.
    """
    return conditional_write.write(
        "postpone",
        job,
        [*conditional_write.due_actions(job, due_at, lane), *more_actions],
        conditional_write.unchanged(job) & (JobRequest.due_at == job.due_at),
        already_applied=lambda row: row.due_at == due_at,
    )


def set_aside(job_id: str, *, seen_due_at: int, due_at: int) -> None:
    """Postpone a row that can't be read or handled, so that it doesn't block others.

    `seen_due_at` is its due time as read from the index. If the due time has changed since, the
    write is refused. Raises the errors of DynamoDB's client, even for a refusal. This doesn't use
    the model JobRequest, because the row may not fit it.
    """
    clients.client("dynamodb").update_item(
        TableName=required(JobRequest.table_setting, "JobRequest"),
        Key={"id": {"S": job_id}},
        UpdateExpression="SET due_at = :later, due_shard = :shard",
        ConditionExpression="due_at = :seen",
        ExpressionAttributeValues={
            ":seen": {"N": str(seen_due_at)},
            ":later": {"N": str(due_at)},
            ":shard": {"S": due_shard(job_id, Lane.HELD)},
        },
    )
