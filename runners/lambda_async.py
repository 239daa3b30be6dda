"""The runner for Lambda: invokes the worker function asynchronously and does not wait."""

import math
from collections.abc import Callable
from secrets import SystemRandom
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError, ConnectionError

import clock
from aws import clients
from aws.errors import may_pass
from errors import InvalidSetting, SendFailed, SendInDoubt
from runners.messages import JobMessage, Message, TaskMessage, encode
from runners.sending import LONGEST_DELAY, Send
from settings import required
from store.job_request import JobRequest

if TYPE_CHECKING:
    from runners.base import JobData

_RUNNER = "JOB_RUNNER=lambda-async"
_TRIES = 2  # of a send; botocore makes one of each
_LONGEST_PAUSE = 1.0  # seconds between them


def fully_configured() -> bool:
    """Return whether the worker, the delay queue and the tables are named; the error says which is
    not."""
    function = _worker_function()
    # arn:aws:lambda:region:account:function:name:alias, or name:alias
    if function.count(":") not in (1, 7):
        raise InvalidSetting(
            "WORKER_LAMBDA_FUNCTION_NAME",
            function,
            "the ARN of an alias: without it Lambda skips the alias's retry and failure settings",
        )
    required("DELAY_QUEUE_URL", _RUNNER)
    required("JOBS_TABLE_NAME", _RUNNER)
    required("COORDINATION_TABLE_NAME", _RUNNER)
    return True


def dispatch_job(job_data: "JobData") -> JobRequest:
    """Save the job, then send it. If it can't be sent now it is due, and the timer sends it."""
    from runners import dispatch  # which a worker does without, unless its work dispatches some

    return dispatch.dispatch_job(job_data, send)


def dispatch_task(task_name: str, payload: Any) -> None:
    """Send the task; raises SendFailed if it did not leave, for nothing holds it, and SendInDoubt
    if nobody knows."""
    from runners import dispatch

    dispatch.dispatch_task(task_name, payload, send)


def send(message: Message, delay: float = 0) -> None:
    """Invoke the worker with the message, now or after a delay. Raises SendFailed.

    SQS carries delays up to 900 s: a task that should wait longer is sent then, a job is left to
    the timer.
    """
    sender(_worker_function())(message, delay)


def _may_be_repeated(message: Message, error: Exception) -> bool:
    """Return whether a message may be sent again after this error.

    A job's may: only one of its messages can claim it. A queue's is a hint. So may a failed task's
    that is sent again: only one can begin it. Another task's may if it surely was not taken: there
    was an answer, and that refused it, or no connection at all. After a timeout in the middle
    nobody knows, and it would run twice.
    """
    if not isinstance(message, TaskMessage) or message.redrives is not None:
        return True
    return isinstance(error, ClientError | ConnectionError)


def sender(function: str) -> Send:
    """Return a `send` to this worker function. The worker itself gives the alias it was invoked as:
    the template can't tell it its own alias (a circular reference)."""

    def send_to_function(message: Message, delay: float = 0) -> None:
        if delay > LONGEST_DELAY and isinstance(message, JobMessage):
            return  # its row is due then
        if delay > 0:
            _try(message, lambda: _delay(message, min(delay, LONGEST_DELAY)))
        else:
            _try(message, lambda: _invoke(function, message))

    return send_to_function


def _try(message: Message, send_once: Callable[[], None]) -> None:
    for attempt in range(1, _TRIES + 1):
        try:
            return send_once()
        except (ClientError, BotoCoreError) as error:
            if not _may_be_repeated(message, error):
                raise SendInDoubt(message.title, str(error)) from error
            if attempt == _TRIES or not may_pass(error):
                raise SendFailed(message.title, str(error)) from error
        clock.sleep(SystemRandom().uniform(0, _LONGEST_PAUSE))
    return None


def _client(service: str, message: Message) -> Any:
    return (
        clients.fresh_client(service)
        if isinstance(message, TaskMessage)
        else clients.client(service)
    )


def _invoke(function: str, message: Message) -> None:
    response = _client("lambda", message).invoke(
        FunctionName=function, InvocationType="Event", Payload=encode(message)
    )
    # An unread body would keep the connection from being used again: a TLS handshake per dispatch.
    response["Payload"].read()


def _delay(message: Message, seconds: float) -> None:
    """Put the message on the queue that the timer reads. A queue on the worker would invoke it
    synchronously, past the alias's retry and failure settings."""
    _client("sqs", message).send_message(
        QueueUrl=required("DELAY_QUEUE_URL", _RUNNER),
        MessageBody=encode(message).decode(),
        DelaySeconds=math.ceil(seconds),
    )


def _worker_function() -> str:
    return required("WORKER_LAMBDA_FUNCTION_NAME", _RUNNER)
