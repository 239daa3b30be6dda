"""The runner for Lambda. It invokes the worker function asynchronously and doesn't wait.

A job or task with a worker class runs in the function of that class. The sender determines the
class from the job type or the task's name, so rows and messages don't have the class.
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
_MAX_TRIES = 2  # of a send; botocore makes one request in each
_MAX_PAUSE = 1.0  # seconds between two tries
_ALIAS = "live"  # of the functions of worker classes
# Error codes if a deploy hasn't created the function of a worker class yet, or it can't be invoked.
_NOT_DEPLOYED = frozenset({"ResourceNotFoundException", "AccessDeniedException"})
_DEPLOY_SECONDS = 60.0  # how long a task then waits


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
    # Imported here because most workers dispatch nothing.
    from job_runners.engine.dispatch.dispatch import dispatch_job

    return dispatch_job(job_data, send)


def dispatch_task(task_name: str, payload: Any) -> str:
    """Send the task, and return its id. Nothing stores the task.

    Raises SendFailed if the task was not sent, and SendInDoubt if it is unknown whether it was.
    """
    from job_runners.engine.dispatch.dispatch import dispatch_task

    return dispatch_task(task_name, payload, send)


def send(message: Message, delay: float = 0) -> None:
    """Invoke the worker with the message, now or after a delay. Raises SendFailed.

    SQS supports delays up to 900 s. A task with a longer delay is sent after 900 s. A job with a
    longer delay is left to the timer.
    """
    sender(_worker_function())(message, delay)


def _may_be_repeated(message: Message, error: Exception) -> bool:
    """Return whether a message may be sent again after this error.

    A second message about a job does no harm, because only one message can claim the job. A message
    about a queue is only a hint. If a failed task is redriven by several messages, only one of them
    can begin it.

    Any other task may be sent again only if AWS certainly didn't accept it: AWS refused the task,
    or there was no connection. After a timeout, a second send could run the task twice.
    """
    if not isinstance(message, TaskMessage) or message.redrives is not None:
        return True
    return isinstance(error, ClientError | ConnectionError)


def sender(function: str) -> Send:
    """Return a `send` to this worker function. Work of another worker class goes to its function.

    A worker passes the alias by which it was invoked as `function`. The template can't give it that
    alias in a setting, because the reference would be circular.
    """

    def send_to_function(message: Message, delay: float = 0) -> None:
        if delay > MAX_MESSAGE_DELAY and isinstance(message, JobMessage):
            return  # the timer starts the job when its row is due
        if delay > 0:
            _send_with_retries(message, lambda: _delay(message, min(delay, MAX_MESSAGE_DELAY)))
        else:
            _invoke_worker(function, message)

    return send_to_function


def class_of(message: Message) -> str | None:
    """Return the worker class that must run a message. None is the default worker.

    It is None for every message if the stack has no classes, or if its API function runs all work.
    """
    if not settings().worker_classes or settings().api_runs_work:
        return None
    # Imported here because most stacks have no classes.
    from job_runners.engine.registry.registry import class_of_job, class_of_task

    match message:
        case JobMessage():
            return class_of_job(message.job_type)
        case TaskMessage():
            return class_of_task(message.name)
    return None


def forward(message: Message, function: str) -> bool:
    """Forward a message to the worker of its class, if this is the default worker.

    Return whether this worker must not run it. Messages for a class arrive here because the code of
    an older deploy sends all messages to the default worker. The worker of a class runs every
    message that it gets, so that no message goes in a circle. If a job can't be forwarded, it stays
    due: as in `claiming.claim`, nothing is raised about a job. For a task, this raises
    NotForwarded, and the failures function sends the task later.
    """
    if settings().worker_class is not None:
        return False
    try:
        worker_class = class_of(message)
        if worker_class is None:
            return False
        with telemetry.work_context(message):
            _forward(message, function, worker_class)
    except Exception as error:
        if not isinstance(message, JobMessage):
            raise
        with telemetry.work_context(message):
            telemetry.crashed(error)  # such as code that can't be imported
    return True


def _forward(message: Message, function: str, worker_class: str) -> None:
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
    """Invoke the function of the message's class.

    `own_function` is that of the class of this process. If the function of another class isn't
    deployed yet, a task waits on the delay queue, and a job stays due.
    """
    worker_class = class_of(message)
    if worker_class == settings().worker_class:
        function = own_function
    elif worker_class is None:
        function = _worker_function()
    else:
        function = f"{required('WORKER_CLASS_PREFIX', _RUNNER)}{worker_class}:{_ALIAS}"
    try:
        _send_with_retries(message, lambda: _invoke(function, message))
    except SendFailed as error:
        is_class_missing = worker_class is not None and _is_not_deployed(error.__cause__)
        if function == own_function or not is_class_missing:
            raise
        telemetry.worker_class_missing(function, error)
        if isinstance(message, TaskMessage):
            _send_with_retries(message, lambda: _delay(message, _DEPLOY_SECONDS))


def _is_not_deployed(error: object) -> bool:
    return isinstance(error, ClientError) and error.response["Error"]["Code"] in _NOT_DEPLOYED


def _send_with_retries(message: Message, send_once: Callable[[], None]) -> None:
    for attempt in range(1, _MAX_TRIES + 1):
        try:
            send_once()
            return
        except (ClientError, BotoCoreError) as error:
            if not _may_be_repeated(message, error):
                raise SendInDoubt(message.title, str(error)) from error
            if attempt == _MAX_TRIES or not is_temporary(error):
                raise SendFailed(message.title, str(error)) from error
        clock.sleep(SystemRandom().uniform(0, _MAX_PAUSE))


def _client(service: str, message: Message) -> Any:
    if isinstance(message, TaskMessage):
        return clients.fresh_client(service)
    return clients.client(service)


def _invoke(function: str, message: Message) -> None:
    response = _client("lambda", message).invoke(
        FunctionName=function, InvocationType="Event", Payload=encode(message)
    )
    # With an unread body, the connection couldn't be reused, so each dispatch would need a TLS
    # handshake.
    response["Payload"].read()


def _delay(message: Message, seconds: float) -> None:
    """Put the message on the queue that the timer reads.

    If the worker consumed the queue itself, Lambda would invoke it synchronously, without the
    alias's retry and failure settings.
    """
    _client("sqs", message).send_message(
        QueueUrl=required("DELAY_QUEUE_URL", _RUNNER),
        MessageBody=encode(message).decode(),
        DelaySeconds=math.ceil(seconds),
    )


def _worker_function() -> str:
    return required("WORKER_LAMBDA_FUNCTION_NAME", _RUNNER)
