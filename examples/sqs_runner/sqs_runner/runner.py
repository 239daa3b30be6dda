"""A runner that sends work through an SQS queue, in fair turns of the organisations it is for.

`JOB_RUNNER=sqs_runner.runner`. The queue's event source invokes the worker and waits for it: what
that changes is in the README beside this.
"""

import math
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, ConnectionError

import clock
from aws import clients
from aws.errors import AWS_ERRORS, retry_until
from errors import Interrupted, SendFailed, SendInDoubt
from runners import dispatch, telemetry
from runners.base import JobData
from runners.execution import run
from runners.messages import JobMessage, Message, TaskMessage, decode, encode
from runners.registry import registry
from runners.retrying import record_failed_task
from runners.sending import LONGEST_DELAY
from settings import required
from store.job_request import JobRequest
from store.queries import read

_RUNNER = "JOB_RUNNER=sqs_runner.runner"
_TIME_TO_TAKE = 10 * clock.SECOND  # off the queue, a task that must not come back


def fully_configured() -> bool:
    """Return whether the queue and the tables are named; the error says which is not."""
    for variable in ("WORK_QUEUE_URL", "JOBS_TABLE_NAME", "COORDINATION_TABLE_NAME"):
        required(variable, _RUNNER)
    return True


def dispatch_job(job_data: JobData) -> JobRequest:
    """Save the job, then send it. If it can't be sent now it is due, and the timer sends it."""

    def send_for(message: Message, delay: float = 0) -> None:
        _send(message, delay, job_data.organization_id)

    return dispatch.dispatch_job(job_data, send_for)


def dispatch_task(task_name: str, payload: Any) -> None:
    """Send the task; raises SendFailed if it did not leave, and SendInDoubt if nobody knows."""
    send(dispatch.accept_task(task_name, payload))


def send(message: Message, delay: float = 0) -> None:
    """Put the message on the queue, to be delivered now or after a delay. Raises SendFailed.

    SQS carries delays up to 900 s: a task that should wait longer comes then, a job is left to the
    timer.
    """
    _send(message, delay, _whose(message))


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Do what the queue's messages ask for: the worker hands these events to its runner. One that
    can't be done comes back, and in the end goes to the dead letters."""
    deadline = clock.now() + context.get_remaining_time_in_millis()
    failed = []
    for record in event["Records"]:
        try:
            _take(record, deadline)
        except Exception as error:  # noqa: BLE001 - one must not send the others round again
            telemetry.left_for_later(error)
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}


def _take(record: Mapping[str, Any], deadline: int) -> None:
    message = decode(record["body"])
    if not isinstance(message, TaskMessage) or _is_to_run(message, record):
        run(message, deadline=deadline, send=send)


def _is_to_run(message: TaskMessage, record: Mapping[str, Any]) -> bool:
    """Return whether this delivery of a task is to run it.

    SQS delivers again what a worker did not finish, and knows nothing of retry tags. So a task that
    may not run again is taken off the queue before it runs, and comes once. Of another, a second
    delivery stands for an attempt that was cut off.
    """
    task = registry().task(message.name)
    registry().load(task)
    registry().task_payload(message.name, message.payload)
    if task.retry is None or not task.retry.interrupted:
        _take_off_the_queue(message, record["receiptHandle"])
        return True
    if int(record["attributes"]["ApproximateReceiveCount"]) == 1:
        return True
    with telemetry.about(message):
        cut_off = Interrupted("SQS has delivered it before, and its worker did not finish it")
        record_failed_task(message, cut_off, send)
    return False


def _take_off_the_queue(message: TaskMessage, receipt: str) -> None:
    queue = required("WORK_QUEUE_URL", _RUNNER)
    sqs = clients.client("sqs")
    try:
        retry_until(
            clock.now() + _TIME_TO_TAKE,
            lambda: sqs.delete_message(QueueUrl=queue, ReceiptHandle=receipt),
        )
    except AWS_ERRORS as error:
        # It comes back, unless a try was applied that nobody answered: then this is its record.
        telemetry.task_in_doubt(SendInDoubt(message.title, f"not surely off the queue: {error}"))
        raise


def _send(message: Message, delay: float, organization_id: str) -> None:
    if delay > LONGEST_DELAY and isinstance(message, JobMessage):
        return  # its row is due then
    may_come_twice = not isinstance(message, TaskMessage)
    sqs = clients.client("sqs") if may_come_twice else clients.fresh_client("sqs")
    try:
        sqs.send_message(
            QueueUrl=required("WORK_QUEUE_URL", _RUNNER),
            MessageBody=encode(message).decode(),
            DelaySeconds=math.ceil(min(delay, LONGEST_DELAY)),
            # On a standard queue a group is whose turn it is: no order, and no one behind another.
            MessageGroupId=sha256(organization_id.encode()).hexdigest(),
        )
    except (ClientError, BotoCoreError) as error:
        if may_come_twice or isinstance(error, ClientError | ConnectionError):
            raise SendFailed(message.title, str(error)) from error
        raise SendInDoubt(message.title, str(error)) from error


def _whose(message: Message) -> str:
    """Return whose turn the message takes: its organisation's; of a task, its own name's."""
    if isinstance(message, TaskMessage):
        return message.name
    try:
        row = read(message.id)
    except AWS_ERRORS:  # then it has a turn of its own
        row = None
    return row.organization_id if row else message.id
