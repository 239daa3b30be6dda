"""Handle the failure records that Lambda writes for events it gave up on.

The job or task of such an event is *settled*: this records its outcome, or schedules its next
attempt. A worker *claims* a job before it runs it.
"""

from collections.abc import Mapping
from typing import Any

from job_runners import errors
from job_runners.engine.control.redriving import claim_task
from job_runners.engine.registry.errors import CannotBegin, NotForwarded
from job_runners.engine.registry.registry import registry
from job_runners.engine.running.retrying import record_failed_attempt, record_failed_task
from job_runners.engine.settling.settle import settle, settle_unknown
from job_runners.engine.telemetry import telemetry
from job_runners.engine.wire.messages import JobMessage, QueueMessage, TaskMessage, decode
from job_runners.engine.wire.sending import Send
from job_runners.store.job_request import Status
from job_runners.store.queries import read
from job_runners.work.errors import EntryNotLoaded

# The errors that a worker raises for a task that it can't begin.
_CANNOT_BEGIN_ERRORS = (
    errors.UnknownTask.__name__,
    errors.UnknownMessageVersion.__name__,
    errors.InvalidPayload.__name__,
    EntryNotLoaded.__name__,
    CannotBegin.__name__,
    NotForwarded.__name__,
)
# Lambda's errors for a handler that could not be loaded. None of our code has run.
_NOT_LOADED_ERRORS = (
    "Runtime.ImportModuleError",
    "Runtime.HandlerNotFound",
    "Runtime.UserCodeSyntaxError",
)
# The event waited too long in Lambda's queue. No function has run, because Lambda tries each event
# only once.
_TOO_OLD = "EventAgeExceeded"
_RESEND_DELAY = 60.0  # seconds, after which a current deploy may have finished


def handle_record(record: object, send: Send) -> None:
    """Settle the work of one failure record, which Lambda has sent to the OnFailure queue.

    A job is settled only if this message led to its current claim, and its function may have run.
    Otherwise, another delivery of the same message may have the claim, and its invocation may still
    be running.

    Raises MalformedMessage or UnknownMessageVersion if the record has no message that this code can
    read. Also raises UnknownTask, EntryNotLoaded, InvalidPayload, CannotBegin and SendFailed. After
    any error, the caller must keep the record.
    """
    if not isinstance(record, Mapping) or "requestPayload" not in record:
        raise errors.MalformedMessage(
            "a failure record without the event that failed (requestPayload)"
        )
    message = decode(record["requestPayload"])
    error = errors.Interrupted(_description(record))
    with telemetry.work_context(message, "settle"):
        match message:
            case QueueMessage():
                send(message, _RESEND_DELAY)
            case JobMessage() if _never_ran(record):
                telemetry.not_settled("not of this message: its invocation began nothing")
            case JobMessage():
                _settle_job(message, error, send)
            case TaskMessage() if _never_ran(record):
                # If one of these calls raises, the record is kept until a deploy has the task and
                # accepts its payload.
                registry().load(registry().task(message.name))
                registry().task_payload(message.name, message.payload)
                send(message, _RESEND_DELAY)
            # `claim_task` is false if another message has begun the task, which may still run.
            case TaskMessage() if claim_task(message):
                could_not_send = _response(record).get("errorType") == errors.SendFailed.__name__
                cause = (
                    errors.SendFailed("its next attempt", error.how) if could_not_send else error
                )
                record_failed_task(message, cause, send)


def _settle_job(message: JobMessage, error: errors.Interrupted, send: Send) -> None:
    """Record the outcome of a lost attempt, and settle what its worker may not have settled.

    The worker may have been killed after it recorded the job's end, freed its slot or held it.
    """
    row = read(message.id)
    if row is None or row.status is not Status.RUNNING or row.send_id != message.send_id:
        telemetry.not_settled("gone" if row is None else row.state)
    else:
        try:
            change = record_failed_attempt(row, error, send)
        except errors.PreconditionFailed as refused:
            telemetry.not_settled(str(refused))
        else:
            telemetry.settled(change.after, error)
            settle(change, send, thorough=True)
            return
    settle_unknown(message, row, send, thorough=True)


def _never_ran(record: Mapping[str, Any]) -> bool:
    """Return whether the function of the job or task was certainly not called.

    There are three reasons: Lambda never invoked the worker, for example because the event was too
    old; Lambda couldn't load the worker; or the worker couldn't begin the task.
    """
    context = record.get("requestContext")
    context = context if isinstance(context, Mapping) else {}
    never_invoked = context.get("approximateInvokeCount") == 0
    return (
        never_invoked
        or context.get("condition") == _TOO_OLD
        or _response(record).get("errorType") in (*_CANNOT_BEGIN_ERRORS, *_NOT_LOADED_ERRORS)
    )


def _response(record: Mapping[str, Any]) -> Mapping[str, Any]:
    response = record.get("responsePayload")
    return response if isinstance(response, Mapping) else {}


def _description(record: Mapping[str, Any]) -> str:
    """Return Lambda's description of the failure, for people."""
    message = _response(record).get("errorMessage")
    if message:
        return str(message).strip()[:300]
    context = record.get("requestContext")
    condition = context.get("condition") if isinstance(context, Mapping) else None
    return f"Lambda gave up on the event ({condition or 'no reason given'})"
