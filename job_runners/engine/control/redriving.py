"""Redrive a failed task: send it again, under a new id.

A request to redrive may be repeated, for example after a lost response. Each request sends a
message, but only one of these messages may *claim* the task, which is to start it.
"""

import json

from job_runners import clock
from job_runners.aws.errors import AWS_ERRORS, is_temporary, retry_until
from job_runners.engine import configured
from job_runners.engine.registry.errors import (
    CannotBegin,
    FailedTaskNotFound,
    MaybeNotRedriven,
    PayloadNotKept,
)
from job_runners.engine.registry.registry import registry
from job_runners.engine.telemetry import telemetry, tracing
from job_runners.engine.wire.messages import TaskMessage
from job_runners.engine.wire.sending import require_sender
from job_runners.errors import SendFailed
from job_runners.store.job_request import new_id
from job_runners.work import context

_MAX_WRITE_TIME = 3 * clock.SECOND  # how long to retry the write before a redriven task starts


def redrive(task_id: str) -> TaskMessage:
    """Send a failed task again, from its first attempt. Return the message.

    The record of the failed task stays until a worker begins the new one. Raises
    FailedTaskNotFound, PayloadNotKept, UnknownTask, InvalidPayload or RunnerCannotResend before
    anything is sent, and MaybeNotRedriven if the send fails.
    """
    from job_runners.store import failed_tasks  # imported here because other work doesn't need it

    record = failed_tasks.find(task_id)
    if record is None:
        raise FailedTaskNotFound(task_id)
    if record.payload is None:
        raise PayloadNotKept(task_id)
    send = require_sender(configured.sender(), record.task_name, "failed and must be sent again")
    payload = json.loads(record.payload)
    registry().task_payload(record.task_name, payload)  # raises an error if it is invalid
    new_task_id = failed_tasks.redrive(task_id)
    if new_task_id is None:
        raise FailedTaskNotFound(task_id)
    message = TaskMessage(
        id=new_task_id,
        name=record.task_name,
        payload=payload,
        request_id=context.request_id.get(),
        traceparent=tracing.current(),
        redrives=task_id,
        send_id=new_id(),
    )
    try:
        send(message)
    except SendFailed as error:
        raise MaybeNotRedriven(task_id, error) from error
    return message


def claim_task(message: TaskMessage) -> bool:
    """Claim a redriven task for this message. Return False if another message has claimed it.

    Other tasks need no claim. Raises CannotBegin if AWS fails. The same message may then try again.
    """
    if message.redrives is None or message.send_id is None:
        return True
    from job_runners.store import failed_tasks

    failed_id = message.redrives
    send_id = message.send_id
    try:
        is_first = retry_until(
            clock.now() + _MAX_WRITE_TIME,
            lambda: failed_tasks.begin(failed_id, redriven_as=message.id, send_id=send_id),
        )
    except AWS_ERRORS as error:
        if is_temporary(error):
            raise CannotBegin(failed_id, error) from error
        raise
    if not is_first:
        telemetry.task_begun_elsewhere()
    return is_first
