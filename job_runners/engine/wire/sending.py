"""Send a message about a row, and rely on the row if that fails.

A message is only a hint. If a row's message isn't sent, the timer sends one when the row is due.
"""

from typing import Protocol

from job_runners import clock
from job_runners.engine.telemetry import telemetry
from job_runners.engine.wire.messages import JobMessage, Message
from job_runners.errors import RunnerCannotResend, SendFailed
from job_runners.store import conditional_write
from job_runners.store.job_request import DuplicateOutcome, JobRequest
from job_runners.values import Value

# The longest delay of a message, in seconds: SQS's limit. The timer starts the jobs that must wait
# longer.
LONGEST_DELAY = 900.0


class Send(Protocol):
    """Sends a message without saving anything. Raises SendFailed.

    A runner's module exports such a function as `send`, if the runner can send work again.
    """

    def __call__(self, message: Message, delay: float = 0) -> None:
        """Send the message so that its work starts no earlier than `delay` seconds from now."""


class CannotSend:
    """The `send` of a runner that exports none. What can't be sent stays due, or is refused."""

    def __call__(self, message: Message, delay: float = 0) -> None:  # noqa: ARG002
        raise SendFailed(str(message), "the runner in JOB_RUNNER has no send()")


CANNOT_SEND = CannotSend()


def can_send(send: Send) -> bool:
    """Return whether the runner can send messages."""
    return not isinstance(send, CannotSend)


def require_sender(send: Send, name: str, need: str) -> Send:
    """Return `send`. If the runner has none, raise RunnerCannotResend for what `name` names."""
    if not can_send(send):
        raise RunnerCannotResend(name, need)
    return send


class Accepted(Value):
    """The answer to a request for a job: the row of the new job, or of an existing one.

    `duplicate` says how the existing job answers it, if another job already had the unique key.
    """

    row: JobRequest
    duplicate: DuplicateOutcome | None = None


def send_if_unclaimed(accepted: Accepted, send: Send) -> None:
    """Send an accepted job if no worker has claimed it and no message about it is on its way."""
    row = accepted.row
    if accepted.duplicate is not None and accepted.duplicate.is_sent:
        return
    if row.invocations == 0 and not row.status.finished:
        send_or_leave_due(row, send, max(0, (row.run_at or 0) - clock.now()) / clock.SECOND)


def send_or_leave_due(row: JobRequest, send: Send, delay: float = 0) -> None:
    """Send the message that starts or continues a job. If that fails, the timer sends one later,
    because the row has a due time."""
    if not can_send(send):
        return
    try:
        send(JobMessage.about(row), delay)
    except SendFailed as error:
        telemetry.left_due(row, error)


def next_due_at(run_at: int, send: Send) -> int:
    """Return when the timer checks a job that may start at `run_at`.

    If a message is to start the job, the timer checks it GRACE after `run_at`. Otherwise the timer
    starts the job itself at `run_at`.
    """
    by_message = can_send(send) and run_at - clock.now() <= LONGEST_DELAY * clock.SECOND
    return run_at + conditional_write.GRACE if by_message else run_at
