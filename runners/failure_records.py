"""What is done about a failure record, of an event that Lambda gave up on: its job or task gets its
outcome or its next attempt."""

from collections.abc import Mapping
from typing import Any

from errors import (
    Interrupted,
    InvalidPayload,
    MalformedMessage,
    PreconditionFailed,
    SendFailed,
    UnknownMessageVersion,
    UnknownTask,
)
from runners import admission, telemetry
from runners.errors import CannotBegin
from runners.messages import JobMessage, QueueMessage, TaskMessage, decode
from runners.redriving import may_begin
from runners.registry import registry
from runners.retrying import record_failed_attempt, record_failed_task
from runners.sending import Send, send_admitted_follower
from store.job_request import JobRequest, Status
from store.queries import read
from work.errors import EntryNotLoaded

# What a worker raises for a task that it can't begin.
_NOT_KNOWN = (
    UnknownTask.__name__,
    UnknownMessageVersion.__name__,
    InvalidPayload.__name__,
    EntryNotLoaded.__name__,
    CannotBegin.__name__,
)
# What Lambda says when its handler could not be loaded: nothing of ours has run.
_NOT_LOADED = (
    "Runtime.ImportModuleError",
    "Runtime.HandlerNotFound",
    "Runtime.UserCodeSyntaxError",
)
_TOO_OLD = "EventAgeExceeded"  # it waited in Lambda's queue, and we have no retries of Lambda's
_LATER = 60.0  # seconds: by then a deploy may be through


def settle(record: object, send: Send) -> None:
    """Settle one record of an asynchronous invocation that failed (an OnFailure destination's).

    A job is settled only if it is running under this very message, and if something may have run: a
    duplicate that failed says nothing about the invocation that has the claim. Raises
    MalformedMessage or UnknownMessageVersion for a record that is not of a message of ours,
    UnknownTask, EntryNotLoaded, InvalidPayload, CannotBegin and SendFailed: such a record has to
    be kept.
    """
    if not isinstance(record, Mapping) or "requestPayload" not in record:
        raise MalformedMessage("a failure record without the event that failed (requestPayload)")
    message = decode(record["requestPayload"])
    error = Interrupted(_how(record))
    with telemetry.about(message, "settle"):
        match message:
            case QueueMessage():
                send(message, _LATER)
            case JobMessage() if _never_ran(record):
                telemetry.not_settled("not of this message: its invocation began nothing")
            case JobMessage():
                _settle_job(message, error, send)
            case TaskMessage() if _never_ran(record):
                # Or it is kept, until we know it, and take its payload.
                registry().load(registry().task(message.name))
                registry().task_payload(message.name, message.payload)
                send(message, _LATER)
            case TaskMessage() if may_begin(message):  # else this was not the message that has it
                could_not_send = _response(record).get("errorType") == SendFailed.__name__
                what = SendFailed("its next attempt", error.how) if could_not_send else error
                record_failed_task(message, what, send)


def _settle_job(message: JobMessage, error: Interrupted, send: Send) -> None:
    row = read(message.id)
    if row is None or row.status is not Status.RUNNING or row.send_id != message.send_id:
        telemetry.not_settled("gone" if row is None else row.state)
    else:
        try:
            ended = record_failed_attempt(row, error, send)
            telemetry.settled(ended, error)
            send_admitted_follower(ended, send)
        except PreconditionFailed as refused:
            telemetry.not_settled(str(refused))
    _admit_waiting(message, row, send)


def _admit_waiting(message: JobMessage, row: JobRequest | None, send: Send) -> None:
    """Let on who waits in the job's line. Its worker may have been killed after it had freed its
    slot, or parked, and before it could do so itself."""
    admission.admit_waiting_for_message(message, row, send, thorough=True)


def _never_ran(record: Mapping[str, Any]) -> bool:
    """Return whether no function was called: a worker of an older deploy did not know the task, the
    worker of this one could not be loaded, or the event grew too old in Lambda's queue."""
    context = record.get("requestContext")
    context = context if isinstance(context, Mapping) else {}
    never_invoked = context.get("approximateInvokeCount") == 0
    return (
        never_invoked
        or context.get("condition") == _TOO_OLD
        or _response(record).get("errorType") in (*_NOT_KNOWN, *_NOT_LOADED)
    )


def _response(record: Mapping[str, Any]) -> Mapping[str, Any]:
    response = record.get("responsePayload")
    return response if isinstance(response, Mapping) else {}


def _how(record: Mapping[str, Any]) -> str:
    """Return what Lambda says of how it ended, in words a person can use."""
    message = _response(record).get("errorMessage")
    if message:
        return str(message).strip()[:300]
    context = record.get("requestContext")
    condition = context.get("condition") if isinstance(context, Mapping) else None
    return f"Lambda gave up on it ({condition or 'no reason given'})"
