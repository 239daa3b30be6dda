"""Handle the failure records that Lambda writes for events it gave up on.

Lambda writes such a record if a worker failed, was killed or could not start. To *settle* the job
or task of the event is to record its outcome or to schedule its next attempt. A worker *claims* a
job before it runs the job.
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
from job_runners.work.errors import FunctionNotLoaded

# What a worker raises if it can't begin a task.
_CANNOT_BEGIN_ERRORS = (
    errors.UnknownTask.__name__,
    errors.UnknownMessageVersion.__name__,
    errors.InvalidPayload.__name__,
    FunctionNotLoaded.__name__,
    CannotBegin.__name__,
    NotForwarded.__name__,
)
# What Lambda reports if it can't load the worker's handler. The worker's code hasn't run then.
_NOT_LOADED_ERRORS = (
    "Runtime.ImportModuleError",
    "Runtime.HandlerNotFound",
    "Runtime.UserCodeSyntaxError",
)
# The event waited too long in Lambda's queue. The worker has not run, because Lambda tries each
# event only once.
_TOO_OLD = "EventAgeExceeded"
_RESEND_DELAY = 60.0  # seconds, in which a deploy that is in progress may finish


def handle_record(record: object, send: Send) -> None:
    """Settle the job or task of one failure record, which Lambda has sent to the OnFailure queue.

    A job is settled only if its current claim came from this message, and if the delivery that
    failed may have called the job's function. Otherwise another delivery of the message may have
    the claim, and may still be running.

    Raises MalformedMessage or UnknownMessageVersion if the record has no message that this code can
    read. Also raises UnknownTask, FunctionNotLoaded, InvalidPayload, CannotBegin and SendFailed.
    After any error, the caller must keep the record.
    """
    if not isinstance(record, Mapping) or "requestPayload" not in record:
        raise errors.MalformedMessage(
            "a failure record without the event that failed (requestPayload)"
        )
    message = decode(record["requestPayload"])
    error = errors.Interrupted(_description(record))
    never_ran = _never_ran(record)
    with telemetry.work_context(message, "settle"):
        match message:
            case QueueMessage():
                send(message, _RESEND_DELAY)
            case JobMessage() if never_ran:
                telemetry.not_settled("not of this message: its invocation began nothing")
            case JobMessage():
                _settle_job(message, error, send)
            case TaskMessage() if never_ran:
                # If one of these calls raises, the record is kept until a deploy has the task and
                # accepts its payload.
                registry().load(registry().task(message.name))
                registry().task_payload(message.name, message.payload)
                send(message, _RESEND_DELAY)
            # If another message has begun the task, `claim_task` returns False. The task may still
            # be running then, so do nothing.
            case TaskMessage() if claim_task(message):
                cause: errors.JobRunnersError = error
                if _error_type(record) == errors.SendFailed.__name__:
                    cause = errors.SendFailed("its next attempt", error.how)
                record_failed_task(message, cause, send)


def _settle_job(message: JobMessage, error: errors.Interrupted, send: Send) -> None:
    """Record the outcome of a lost attempt, and settle what its worker left unsettled.

    The worker may have been killed after it recorded the job's end, freed the job's slot, or let
    the job wait.
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
    context = _mapping_in(record, "requestContext")
    return (
        context.get("approximateInvokeCount") == 0
        or context.get("condition") == _TOO_OLD
        or _error_type(record) in (*_CANNOT_BEGIN_ERRORS, *_NOT_LOADED_ERRORS)
    )


def _description(record: Mapping[str, Any]) -> str:
    """Return Lambda's description of the failure, for people."""
    message = _mapping_in(record, "responsePayload").get("errorMessage")
    if message:
        return str(message).strip()[:300]
    condition = _mapping_in(record, "requestContext").get("condition")
    return f"Lambda gave up on the event ({condition or 'no reason given'})"


def _error_type(record: Mapping[str, Any]) -> object:
    return _mapping_in(record, "responsePayload").get("errorType")


def _mapping_in(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a part of the record. Lambda may have left it out, or written something else."""
    part = record.get(name)
    return part if isinstance(part, Mapping) else {}
