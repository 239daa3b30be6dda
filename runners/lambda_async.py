"""The runner for Lambda. It invokes the worker function asynchronously and doesn't wait.

A stack has a default worker. It may also have *worker classes*, each of which has a Lambda function
of its own, for example with more memory. The sender of a message looks up its class by its job type
or task name, so neither rows nor messages contain the class.
"""

import math
from collections.abc import Callable
from secrets import SystemRandom
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError, ConnectionError

from job_runners import clock
from job_runners.aws import clients
from job_runners.aws.errors import is_temporary
from job_runners.engine.registry.errors import NotForwarded
from job_runners.engine.telemetry import telemetry
from job_runners.engine.wire.messages import JobMessage, Message, TaskMessage, encode
from job_runners.engine.wire.sending import MAX_MESSAGE_DELAY, Accepted, Send
from job_runners.errors import InvalidSetting, SendFailed, SendInDoubt
from job_runners.settings import required, settings

if TYPE_CHECKING:
    from job_runners.runners.base import JobData

_RUNNER = "JOB_RUNNER=lambda-async"
_MAX_TRIES = 2  # how often a message is sent; botocore makes one request each time
_MAX_PAUSE = 1.0  # seconds between two tries
_ALIAS = "live"  # the alias of each worker class's function
# AWS returns one of these codes if a deploy has not yet created the function of a class, or the
# permission to invoke it.
_NOT_DEPLOYED = frozenset({"ResourceNotFoundException", "AccessDeniedException"})
_DEPLOY_SECONDS = 60.0  # a task is sent again after this time, when the deploy may have ended


def fully_configured() -> bool:
    """Return True if the settings name the worker, the delay queue and the tables.

    Raises MissingSetting or InvalidSetting otherwise.
    """
    function = _worker_function()
    # arn:aws:lambda:region:account:function:name:alias, or name:alias
    if function.count(":") not in (1, 7):
        raise InvalidSetting(
            "WORKER_LAMBDA_FUNCTION_NAME",
            function,
            "the ARN of an alias; without one, Lambda ignores its retry and failure settings",
        )
    required("DELAY_QUEUE_URL", _RUNNER)
    required("JOBS_TABLE_NAME", _RUNNER)
    required("COORDINATION_TABLE_NAME", _RUNNER)
    return True


def dispatch_job(job_data: "JobData") -> Accepted:
    """Save the job, then send it. If it can't be sent now, it stays due and the timer sends it."""
    # imported here because most workers dispatch nothing
    from job_runners.engine.dispatch.dispatch import dispatch_job

    return dispatch_job(job_data, send)


def dispatch_task(task_name: str, payload: Any) -> str:
    """Send the task, and return its id. The task isn't stored.

    Raises SendFailed if the task wasn't sent, and SendInDoubt if it may have been sent.
    """
    from job_runners.engine.dispatch.dispatch import dispatch_task

    return dispatch_task(task_name, payload, send)


def send(message: Message, delay: float = 0) -> None:
    """Invoke the worker with the message, now or after a delay. Raises SendFailed.

    SQS supports delays up to 900 s. A task with a longer delay is sent after 900 s. If a job's
    delay is longer, the timer sends the job.
    """
    sender(_worker_function())(message, delay)


def sender(function: str) -> Send:
    """Return a `send` to this worker function. Work of another worker class goes to that class.

    A worker passes its own alias as `function`, as in the event's context. The template can't pass
    that alias in a setting, because the reference would be circular.
    """

    def send_to_function(message: Message, delay: float = 0) -> None:
        if delay > MAX_MESSAGE_DELAY and isinstance(message, JobMessage):
            return  # the timer starts the job when its row is due
        if delay > 0:
            seconds = min(delay, MAX_MESSAGE_DELAY)
            _send_with_retries(message, lambda: _put_on_delay_queue(message, seconds))
        else:
            _invoke_worker(function, message)

    return send_to_function


def worker_class_of(message: Message) -> str | None:
    """Return the worker class that must run a message, or None for the default worker.

    It is None for every message if the stack has no classes, or if its API function runs all work.
    """
    if not settings().worker_classes or settings().api_runs_work:
        return None
    # imported here because most stacks have no classes
    from job_runners.engine.registry.registry import class_of_job, class_of_task

    match message:
        case JobMessage():
            return class_of_job(message.job_type)
        case TaskMessage():
            return class_of_task(message.name)
    return None


def forward(message: Message, function: str) -> bool:
    """If this is the default worker, forward a message of a worker class to that class.

    Return False if this worker must run the message itself. The default worker gets messages of a
    class from code that was deployed before the class was added. The worker of a class forwards
    nothing, so that no message goes in a circle.

    If a job can't be forwarded, the timer sends it later, and no error is raised. For a task, this
    raises NotForwarded, and the failures function sends the task later.
    """
    if settings().worker_class is not None:
        return False
    try:
        worker_class = worker_class_of(message)
        if worker_class is None:
            return False
        with telemetry.work_context(message):
            _send_to_class(message, function, worker_class)
    except Exception as error:
        if not isinstance(message, JobMessage):
            raise
        with telemetry.work_context(message):
            telemetry.crashed(error)  # for example, a module of the app can't be imported
    return True


def _send_to_class(message: Message, function: str, worker_class: str) -> None:
    try:
        sender(function)(message)
    except SendInDoubt as error:
        telemetry.task_in_doubt(error)
    except SendFailed as error:
        if isinstance(message, TaskMessage):
            raise NotForwarded(message.id, error) from error
        telemetry.not_sent(error)
    else:
        telemetry.forwarded(worker_class)


def _invoke_worker(own_function: str, message: Message) -> None:
    """Invoke the function of the message's worker class.

    `own_function` is used for messages of this process's own class. If the function of another
    class isn't deployed yet, a task waits on the delay queue, and a job stays due.
    """
    worker_class = worker_class_of(message)
    if worker_class == settings().worker_class:
        function = own_function
    elif worker_class is None:
        function = _worker_function()
    else:
        function = f"{required('WORKER_CLASS_PREFIX', _RUNNER)}{worker_class}:{_ALIAS}"
    try:
        _send_with_retries(message, lambda: _invoke(function, message))
    except SendFailed as error:
        is_other_class = worker_class is not None and function != own_function
        if not (is_other_class and _is_not_deployed(error.__cause__)):
            raise
        telemetry.worker_class_missing(function, error)
        if isinstance(message, TaskMessage):
            _send_with_retries(message, lambda: _put_on_delay_queue(message, _DEPLOY_SECONDS))


def _is_not_deployed(error: object) -> bool:
    return isinstance(error, ClientError) and error.response["Error"]["Code"] in _NOT_DEPLOYED


def _send_with_retries(message: Message, send_once: Callable[[], None]) -> None:
    for attempt in range(1, _MAX_TRIES + 1):
        try:
            send_once()
            return
        except (ClientError, BotoCoreError) as error:
            if not _may_send_again(message, error):
                raise SendInDoubt(message.title, str(error)) from error
            if attempt == _MAX_TRIES or not is_temporary(error):
                raise SendFailed(message.title, str(error)) from error
        clock.sleep(SystemRandom().uniform(0, _MAX_PAUSE))


def _may_send_again(message: Message, error: Exception) -> bool:
    """Return whether a second send of a message is safe after this error.

    A second message about a job does no harm, because only one message can claim the job. A message
    about a queue does none, because it is only a hint. If several messages redrive a failed task
    (send it again), only one of them begins it.

    Any other task may be sent again only if AWS certainly didn't accept it. That is the case if AWS
    refused the task, or if there was no connection. After a timeout, a second send could run the
    task twice.
    """
    if not isinstance(message, TaskMessage) or message.redrives is not None:
        return True
    return isinstance(error, ClientError | ConnectionError)


def _invoke(function: str, message: Message) -> None:
    response = _client_for(message, "lambda").invoke(
        FunctionName=function, InvocationType="Event", Payload=encode(message)
    )
    # Unless the body is read, the connection can't be reused, and each dispatch needs a TLS
    # handshake.
    response["Payload"].read()


def _put_on_delay_queue(message: Message, seconds: float) -> None:
    """Put the message on the queue that the timer reads.

    If the worker consumed the queue itself, Lambda would invoke it synchronously, without the
    alias's retry and failure settings.
    """
    _client_for(message, "sqs").send_message(
        QueueUrl=required("DELAY_QUEUE_URL", _RUNNER),
        MessageBody=encode(message).decode(),
        DelaySeconds=math.ceil(seconds),
    )


def _client_for(message: Message, service: str) -> Any:
    if isinstance(message, TaskMessage):
        return clients.fresh_client(service)  # a lost connection would leave the task in doubt
    return clients.client(service)


def _worker_function() -> str:
    return required("WORKER_LAMBDA_FUNCTION_NAME", _RUNNER)
