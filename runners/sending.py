"""How a message about a row is sent, and what is made sure of when none can be.

A message is a hint: a row that is not sent is due, and the timer sends it.
"""

from typing import Protocol

import clock
from errors import RunnerCannotResend, SendFailed
from runners import telemetry
from runners.messages import JobMessage, Message
from store import conditional_write
from store.job_request import JobRequest

# The longest delay that every runner's message can carry (SQS), in seconds: of a job that waits
# longer the timer makes sure when its time has come.
LONGEST_DELAY = 900.0


class Send(Protocol):
    """Sends a message without saving anything: for attempts after the first and for rescues.

    A runner's module exports it as `send`, if it can. Raises SendFailed.
    """

    def __call__(self, message: Message, delay: float = 0) -> None:
        """Have the message run, not before `delay` seconds from now."""


def require_sender(send: Send | None, name: str, need: str) -> Send:
    """Return `send`; raise RunnerCannotResend, for what is called `name`, if there is none."""
    if send is None:
        raise RunnerCannotResend(name, need)
    return send


def send_if_unclaimed(row: JobRequest, send: Send | None) -> None:
    """Send a job that was accepted, unless it was accepted before and has begun since, or a message
    about it is under way."""
    if row.duplicate is not None and row.duplicate.is_sent:
        return
    if row.legs == 0 and not row.status.finished:
        send_or_leave_due(row, send, max(0, (row.run_at or 0) - clock.now()) / clock.SECOND)


def send_or_leave_due(row: JobRequest, send: Send | None, delay: float = 0) -> None:
    """Send the message that a job goes on by. If it can't be sent, the row is due all the same."""
    if send is None:
        return
    try:
        send(JobMessage.about(row), delay)
    except SendFailed as error:
        telemetry.left_due(row, error)


def send_admitted_follower(ended: JobRequest, send: Send | None) -> None:
    """Send the job that was let on by the end of another, if one was."""
    row = ended.admitted_follower
    if row is not None:
        send_or_leave_due(row, send, max(0, (row.run_at or 0) - clock.now()) / clock.SECOND)


def next_due_at(run_at: int, send: Send | None) -> int:
    """Return when the timer looks for a job that may start at `run_at`: a little later if a message
    should have started it, at once if none will."""
    by_message = send is not None and run_at - clock.now() <= LONGEST_DELAY * clock.SECOND
    return run_at + conditional_write.GRACE if by_message else run_at
