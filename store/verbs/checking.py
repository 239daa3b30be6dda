"""The verbs of the timer, for rows that are due: expire, postpone, set_aside. And uncount, of the
quota, for rows that are finished.
"""

from typing import Any

from aws import clients
from settings import required
from store import conditional_write, holdings
from store.job_request import JobRequest, Lane, Status, due_shard


def expire(job: JobRequest, error: dict[str, Any]) -> JobRequest:
    """Fail a job that nobody has started, continued or admitted until it was too late to be useful.

    It gives back its slot, or its entry where it waits, and its key. It is refused unless the row
    is exactly as it was read.
    """
    return holdings.write_freeing(
        "expire",
        job,
        conditional_write.failed(job, error),
        conditional_write.as_read(job)
        & (JobRequest.due_at == job.due_at)
        & JobRequest.status.is_in(
            Status.QUEUED, Status.SCHEDULED, Status.RETRYABLE, Status.WAITING
        ),
        already_applied=lambda row: row.status is Status.FAILED and row.legs == job.legs,
        more_writes=holdings.entry_dropped(job),
        ends=True,
    )


def postpone(job: JobRequest, due_at: int, lane: Lane) -> JobRequest:
    """Move the time at which a row is due, and the lane it waits in.

    It is refused unless the row is exactly as it was read.
    """
    return conditional_write.write(
        "postpone",
        job,
        conditional_write.due(job, due_at, lane),
        conditional_write.as_read(job) & (JobRequest.due_at == job.due_at),
        already_applied=lambda row: row.due_at == due_at,
    )


def set_aside(job_id: str, *, seen_due_at: int, due_at: int) -> None:
    """Move the time of a row that can't be read or dealt with, so that it keeps no other waiting.

    It is refused if somebody else has moved it. Raises what DynamoDB's client raises.
    """
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


def uncount(job: JobRequest) -> JobRequest:
    """Take a finished job out of what its organisation's quota counts: code that does not know the
    quota has ended it, and left it there.

    It is refused unless the row is finished: it may have been queued anew.
    """
    return conditional_write.write(
        "uncount",
        job,
        [JobRequest.unfinished_organization.remove()],
        JobRequest.status.is_in(*(each for each in Status if each.finished)),
        already_applied=lambda row: False,  # repeating it is harmless, so a refusal is a refusal
    )
