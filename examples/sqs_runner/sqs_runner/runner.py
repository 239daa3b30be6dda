"""A runner that sends work through an SQS queue, with fair turns for organizations.

Set `JOB_RUNNER=sqs_runner.runner`. The queue's event source invokes the worker and waits for it.
The README of this example describes the differences from asynchronous invocations.
"""

import math
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, ConnectionError

from job_runners import clock
from job_runners.aws import clients
from job_runners.aws.errors import AWS_ERRORS, retry_until
from job_runners.engine.dispatch import dispatch
from job_runners.engine.registry.registry import registry
from job_runners.engine.running.execution import run
from job_runners.engine.running.retrying import record_failed_task
from job_runners.engine.telemetry import telemetry
from job_runners.engine.wire.messages import JobMessage, Message, TaskMessage, decode, encode
from job_runners.engine.wire.sending import MAX_MESSAGE_DELAY, Accepted
from job_runners.errors import Interrupted, SendFailed, SendInDoubt
from job_runners.runners import JobData
from job_runners.settings import required
from job_runners.store.queries import read

_RUNNER = "JOB_RUNNER=sqs_runner.runner"
_TIME_TO_DELETE = 10 * clock.SECOND  # for a message that must not be delivered again


def fully_configured() -> bool:
    """Return True if the settings name the queue and the tables. Raises MissingSetting."""
    for variable in ("WORK_QUEUE_URL", "JOBS_TABLE_NAME", "COORDINATION_TABLE_NAME"):
        required(variable, _RUNNER)
    return True


def dispatch_job(job_data: JobData) -> Accepted:
    """Save the job, then send it. If that fails, the job's row is due, and the timer sends it."""

    def send_for(message: Message, delay: float = 0) -> None:
        _send(message, delay, job_data.organization_id)

    return dispatch.dispatch_job(job_data, send_for)


def dispatch_task(task_name: str, payload: Any) -> str:
    """Send the task, and return its id.

    Raises SendFailed if it wasn't sent, and SendInDoubt if that is unknown.
    """
    return dispatch.dispatch_task(task_name, payload, send)


def send(message: Message, delay: float = 0) -> None:
    """Put the message on the queue, to be delivered now or after a delay. Raises SendFailed.

    SQS supports delays up to 900 s. A task with a longer delay is delivered after 900 s. The timer
    sends a job with a longer delay.
    """
    _send(message, delay, _fair_turn_name(message))


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Handle the messages of an event from the queue, which the worker passes to its runner.

    A message that fails is delivered again, and finally goes to the dead-letter queue.
    """
    deadline = clock.now() + context.get_remaining_time_in_millis()
    failed = []
    for record in event["Records"]:
        try:
            _handle_record(record, deadline)
        except Exception as error:  # noqa: BLE001 - one failure must not repeat the other messages
            telemetry.left_for_later(error)
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}


def _handle_record(record: Mapping[str, Any], deadline: int) -> None:
    message = decode(record["body"])
    if not isinstance(message, TaskMessage) or _should_run(message, record):
        run(message, deadline=deadline, send=send)


def _should_run(message: TaskMessage, record: Mapping[str, Any]) -> bool:
    """Return whether this delivery of a task should run it.

    SQS delivers a message again if its worker didn't finish, even if the task's retry policy
    doesn't allow that. So a task that must not run again is deleted from the queue before it runs.
    For another task, a second delivery means that an attempt was interrupted.
    """
    task = registry().task(message.name)
    registry().load(task)
    registry().task_payload(message.name, message.payload)
    if task.retry is None or not task.retry.interrupted:
        _delete_from_queue(message, record["receiptHandle"])
        return True
    if int(record["attributes"]["ApproximateReceiveCount"]) == 1:
        return True
    with telemetry.work_context(message):
        interrupted = Interrupted("SQS delivered it before, and its worker did not finish it")
        record_failed_task(message, interrupted, send)
    return False


def _delete_from_queue(message: TaskMessage, receipt: str) -> None:
    queue = required("WORK_QUEUE_URL", _RUNNER)
    sqs = clients.client("sqs")
    try:
        retry_until(
            clock.now() + _TIME_TO_DELETE,
            lambda: sqs.delete_message(QueueUrl=queue, ReceiptHandle=receipt),
        )
    except AWS_ERRORS as error:
        # SQS delivers the message again, unless it was deleted and only the response was lost. In
        # that case, this log line is the only trace of the task.
        why = f"it may have been deleted from the queue: {error}"
        telemetry.task_in_doubt(SendInDoubt(message.title, why))
        raise


def _send(message: Message, delay: float, organization_id: str) -> None:
    if delay > MAX_MESSAGE_DELAY and isinstance(message, JobMessage):
        return  # its row becomes due at that time
    may_come_twice = not isinstance(message, TaskMessage)
    sqs = clients.client("sqs") if may_come_twice else clients.fresh_client("sqs")
    try:
        sqs.send_message(
            QueueUrl=required("WORK_QUEUE_URL", _RUNNER),
            MessageBody=encode(message).decode(),
            DelaySeconds=math.ceil(min(delay, MAX_MESSAGE_DELAY)),
            # On a standard queue, groups only take turns. They set no order and block no messages.
            MessageGroupId=sha256(organization_id.encode()).hexdigest(),
        )
    except (ClientError, BotoCoreError) as error:
        if may_come_twice or isinstance(error, ClientError | ConnectionError):
            raise SendFailed(message.title, str(error)) from error
        raise SendInDoubt(message.title, str(error)) from error


def _fair_turn_name(message: Message) -> str:
    """Return the name under which a message takes turns: its job's organization, or its task."""
    if isinstance(message, TaskMessage):
        return message.name
    try:
        row = read(message.id)
    except AWS_ERRORS:  # without its organization, the job gets a turn of its own
        row = None
    return row.organization_id if row else message.id
