"""Send messages about jobs.

A message is only a hint that a saved job can run. If it can't be sent, the timer sends another
message when the job's row is *due*. A row is due once the current time has passed its `due_at`.
"""

from typing import Protocol

from job_runners import clock
from job_runners.engine.telemetry import telemetry
from job_runners.engine.wire.messages import JobMessage, Message
from job_runners.errors import RunnerCannotResend, SendFailed
from job_runners.store import conditional_write
from job_runners.store.job_request import DuplicateOutcome, JobRequest
from job_runners.values import Value

# SQS's limit, in seconds. The timer starts jobs that must wait longer.
MAX_MESSAGE_DELAY = 900.0

_MAX_FAILED_SENDS = 3  # how many sends in a row may fail before a StoppingSender gives up


class Send(Protocol):
    """A function that sends a message. A runner's module may export one as `send`."""

    def __call__(self, message: Message, delay: float = 0) -> None:
        """Send the message. Its work starts no earlier than `delay` seconds from now.

        Raises SendFailed.
        """


class CannotSend:
    """The `send` of a runner whose module exports none. Calling it raises an error."""

    def __call__(self, message: Message, delay: float = 0) -> None:  # noqa: ARG002
        raise SendFailed(str(message), "the runner in JOB_RUNNER has no send()")


CANNOT_SEND = CannotSend()


def can_send(send: Send) -> bool:
    """Return whether the runner can send messages."""
    return not isinstance(send, CannotSend)


def require_sender(send: Send, name: str, reason: str) -> Send:
    """Return `send`, or raise RunnerCannotResend if the runner can't send messages.

    The error says which work needs the message, and why. `name` is the name of the work, such as
    "send_letters". `reason` completes a sentence that begins with the name, such as "has a retry
    policy".
    """
    if not can_send(send):
        raise RunnerCannotResend(name, reason)
    return send


class StoppingSender:
    """A `send` that gives up once several sends in a row have failed.

    By then, the worker probably can't be reached, and more tries would only take time. The timer
    sends the jobs later, when their rows are due. Threads may share the sender.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._failures = 0  # in a row

    def __call__(self, message: Message, delay: float = 0) -> None:
        """Send a message. Raises SendFailed."""
        if self._failures >= _MAX_FAILED_SENDS:
            raise SendFailed(message.title, "the messages before it could not be sent")
        try:
            self._send(message, delay)
        except SendFailed:
            self._failures += 1
            raise
        self._failures = 0


class Accepted(Value):
    """The result of a request for a job: the row of the new job, or of an existing one.

    If another job already had the job's unique key, `duplicate` says how the request was handled.
    """

    row: JobRequest
    duplicate: DuplicateOutcome | None = None


def send_if_unclaimed(accepted: Accepted, send: Send) -> None:
    """Send an accepted job unless a worker has claimed it or a message about it was sent before."""
    row = accepted.row
    if accepted.duplicate is not None and accepted.duplicate.is_sent:
        return
    if row.invocations == 0 and not row.status.finished:
        milliseconds = max(0, (row.run_at or 0) - clock.now())
        send_or_leave_due(row, send, delay=milliseconds / clock.SECOND)


def send_or_leave_due(row: JobRequest, send: Send, delay: float = 0) -> None:
    """Send the message that starts or continues a job, after `delay` seconds.

    If that fails, the timer sends a message when the job's row is due.
    """
    if not can_send(send):
        return
    try:
        send(JobMessage.about(row), delay)
    except SendFailed as error:
        telemetry.left_due(row, error)


def next_due_at(run_at: int, send: Send) -> int:
    """Return when the timer must check a job that may start at `run_at`.

    If the start is soon, a delayed message can start the job. The timer then checks only later, one
    GRACE (a minute) after `run_at`, whether the job has started. Otherwise, the timer itself starts
    the job at `run_at`.
    """
    is_soon = run_at - clock.now() <= MAX_MESSAGE_DELAY * clock.SECOND
    if can_send(send) and is_soon:
        return run_at + conditional_write.GRACE
    return run_at
