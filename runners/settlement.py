"""What Lambda gave up on, settled: a job gets its outcome or its next attempt, so does a task."""

from collections.abc import Mapping
from typing import Any

from errors import Interrupted, MalformedMessage, PreconditionFailed
from runners import log
from runners.base import Send
from runners.execution import answer_failed_task
from runners.messages import JobMessage, TaskMessage, decode
from runners.outcome import answer
from store.job_request import Status
from store.queries import read


def settle(record: object, send: Send) -> None:
    """Settle one record of an asynchronous invocation that failed (an OnFailure destination's).

    A job is settled only if it is running under this very message: a duplicate that failed says
    nothing about the invocation that has the claim. Raises MalformedMessage or
    UnknownMessageVersion for a record that is not of a message of ours, UnknownTask and SendFailed:
    such a record has to be kept.
    """
    if not isinstance(record, Mapping) or "requestPayload" not in record:
        raise MalformedMessage("a failure record without the event that failed (requestPayload)")
    message = decode(record["requestPayload"])
    error = Interrupted(_how(record))
    with log.about(message):
        match message:
            case JobMessage():
                _settle_job(message, error, send)
            case TaskMessage():
                answer_failed_task(message, error, send)


def _settle_job(message: JobMessage, error: Interrupted, send: Send) -> None:
    row = read(message.id)
    if row is None or row.status is not Status.RUNNING or row.send_id != message.send_id:
        log.not_settled("gone" if row is None else row.state)
        return
    try:
        log.settled(answer(row, error, send), error)
    except PreconditionFailed as refused:
        log.not_settled(str(refused))


def _how(record: Mapping[str, Any]) -> str:
    """What Lambda says of the end, in words a person can use."""
    response = record.get("responsePayload")
    message = response.get("errorMessage") if isinstance(response, Mapping) else None
    if message:
        return str(message).strip()[:300]
    context = record.get("requestContext")
    condition = context.get("condition") if isinstance(context, Mapping) else None
    return f"Lambda gave up on it ({condition or 'no reason given'})"
