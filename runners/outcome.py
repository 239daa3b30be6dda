"""How a failed attempt is answered: tried again, and when, or given up."""

import traceback
from typing import Any

from errors import DoNotRetry, InvalidPayload, MissingObject, RetryAfter, SendFailed
from runners import log
from runners.base import Send
from runners.messages import JobMessage
from store import clock, verbs
from store.job_request import JobRequest
from work.retry import Retry

# The longest delay a message can carry (SQS): a job that waits longer is left to the timer's table.
LONGEST_DELAY = 900.0

_HOPELESS = (DoNotRetry, InvalidPayload, MissingObject)
_MESSAGE_LIMIT = 1000  # characters; the row is billed on every write
_TRACEBACK_LIMIT = 3000


def wait_before_retry(
    retry: Retry | None, attempt: int, max_attempts: int, error: BaseException | None
) -> float | None:
    """Seconds until the next attempt; None if there is none."""
    if retry is None or attempt >= max_attempts or isinstance(error, _HOPELESS):
        return None
    if isinstance(error, RetryAfter):
        return max(0.0, error.seconds)
    return retry.delay(attempt)


def next_look(run_at: int, delay: float, send: Send | None) -> int:
    """When the timer should look for a job that may run at `run_at`: a little later if a message
    will start it, at once if none will."""
    by_message = send is not None and delay <= LONGEST_DELAY
    return run_at + verbs.GRACE if by_message else run_at


def wake(row: JobRequest, delay: float, send: Send | None) -> None:
    """Send the message that starts a job's next attempt. If it can't be sent, the row is due."""
    if send is None or delay > LONGEST_DELAY:
        return
    try:
        send(JobMessage.about(row), delay)
    except SendFailed as error:
        log.left_due(row, error)


def run_at_after(delay: float) -> int:
    """The time `delay` seconds from now."""
    return clock.now() + int(delay * clock.SECOND)


def error_record(error: BaseException) -> dict[str, Any]:
    """What the row keeps of an error: its kind and message, and the end of its traceback."""
    trace = "".join(traceback.format_exception(error))
    return {
        "kind": type(error).__name__,
        "message": str(error)[:_MESSAGE_LIMIT] or type(error).__name__,
        "traceback": trace[-_TRACEBACK_LIMIT:],
    }


INTERRUPTED = {
    "kind": "Interrupted",
    "message": (
        "the attempt was cut off before it could report: the worker ran out of time or memory, "
        "or was killed. What it did until then may have had effects"
    ),
}
