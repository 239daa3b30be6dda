"""A runner for tests, which holds messages in memory until a test runs them in this process.

A message starts a job's invocation or a task. Setting JOB_RUNNER=job_runners.testing.held_runner
selects this runner. Its clock moves forward to the next due time, so that tests never wait.
"""

import heapq
import itertools
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from job_runners import clock
from job_runners.engine.control import signaling
from job_runners.engine.dispatch import dispatch
from job_runners.engine.running.execution import run
from job_runners.engine.tick import timer
from job_runners.engine.wire.messages import Message, decode, encode
from job_runners.engine.wire.sending import Accepted, Send
from job_runners.store import current_wait
from job_runners.store.job_request import JobRequest
from job_runners.testing.movable_clock import MovableClock
from job_runners.testing.plain_clients import every_row

if TYPE_CHECKING:
    from job_runners.runners.base import JobData

_MAX_MESSAGES = 1000  # that may run before NeverEnds is raised
_MAX_PER_MEMBER = 2  # additional messages for each member of a group
_INVOCATION_SECONDS = 900.0


class NeverEnds(AssertionError):
    """Jobs or tasks are still unfinished after the maximum number of messages has run."""

    def __init__(self, rows: list[JobRequest]) -> None:
        jobs = "".join(f"\n  {row.job_type} {row.id}, {row.state}" for row in rows)
        super().__init__(
            f"{_MAX_MESSAGES} messages were not enough. Does a job or a task dispatch itself "
            f"forever?{jobs or ' All jobs are finished, so it must be a task.'}"
        )


def _rounds() -> Iterator[int]:
    """Count the messages that run, up to a limit.

    At the limit, look for members of groups. Each member raises the limit.
    """
    count = 0
    limit = _MAX_MESSAGES
    while count < limit:
        yield count
        count += 1
        if count == limit:
            members = [row for row in every_row(JobRequest) if row.member_of is not None]
            limit = _MAX_MESSAGES + _MAX_PER_MEMBER * len(members)


class MessageQueue:
    """Holds messages until a test runs them, in the order of their due times."""

    def __init__(self, movable_clock: MovableClock) -> None:
        self._clock = movable_clock
        # A heap of (due time, sequence number, message).
        self._heap: list[tuple[int, int, Message]] = []
        self._sequence_numbers = itertools.count()

    def send(self, message: Message, delay: float = 0) -> None:
        """Hold a message until a test runs it. It is due after `delay` seconds."""
        due_at = clock.now() + int(delay * clock.SECOND)
        as_received = decode(encode(message))  # converted to JSON and back, as on AWS
        heapq.heappush(self._heap, (due_at, next(self._sequence_numbers), as_received))

    def run_all(
        self, *, seconds: float = _INVOCATION_SECONDS, signals: Mapping[str, Any] | None = None
    ) -> None:
        """Run all work to completion, with invocations that may take `seconds`. Raises NeverEnds.

        Whenever no message is due, send jobs the `signals` that they wait for. If none waits for
        them, move the clock to the next due time.
        """
        for _ in _rounds():
            if self._run_due_message(seconds) or answer_waits(signals or {}, self.send):
                continue
            due_times = self._due_times()
            if not due_times:
                return
            self._clock.advance(max(0, min(due_times) - clock.now()) / clock.SECOND)
            if not self._has_due_message():
                self._run_timer()
        raise NeverEnds([row for row in every_row(JobRequest) if not row.status.finished])

    def run_due(self, *, seconds: float = _INVOCATION_SECONDS) -> None:
        """Run only the work that is due now. The clock doesn't move. Raises NeverEnds."""
        for _ in _rounds():
            if not self._run_due_message(seconds):
                self._run_timer()
                if not self._has_due_message():
                    return
        raise NeverEnds([row for row in every_row(JobRequest) if not row.status.finished])

    def _due_times(self) -> list[int]:
        row_times = [row.due_at for row in every_row(JobRequest) if row.due_at is not None]
        message_times = [due_at for due_at, _, _ in self._heap]
        return row_times + message_times

    def _has_due_message(self) -> bool:
        if not self._heap:
            return False
        next_due_at, _, _ = self._heap[0]
        return next_due_at <= clock.now()

    def _run_due_message(self, seconds: float) -> bool:
        if not self._has_due_message():
            return False
        _, _, message = heapq.heappop(self._heap)
        with self._clock.moved_by_sleep():
            run(message, deadline=clock.now() + int(seconds * clock.SECOND), send=self.send)
        return True

    def _run_timer(self) -> None:
        timer.tick(self.send, until=clock.now() + clock.MINUTE)


def answer_waits(signals: Mapping[str, Any], send: Send) -> bool:
    """Send waiting jobs the signals that they wait for. Return whether any signal was sent."""
    has_sent = False
    for row in every_row(JobRequest):
        wait = current_wait.of(row) if row.awaits_signal else None
        if wait is None:
            continue
        names = [name for name in wait.names if name in signals]
        if names:
            signaling.signal(row, names[0], signals[names[0]], send)
            has_sent = True
    return has_sent


class _Current:
    queue: MessageQueue | None = None  # of the running test


def hold_in(queue: MessageQueue | None) -> None:
    """Hold all messages that are sent from now on in `queue`."""
    _Current.queue = queue


# The functions below are the interface of a runner.


def fully_configured() -> bool:
    """Return whether a test has called `hold_in`."""
    return _Current.queue is not None


def dispatch_job(job_data: "JobData") -> Accepted:
    """Save the job, and hold its message."""
    return dispatch.dispatch_job(job_data, send)


def dispatch_task(task_name: str, payload: Any) -> str:
    """Hold a message for the task, and return the task's id."""
    return dispatch.dispatch_task(task_name, payload, send)


def send(message: Message, delay: float = 0) -> None:
    """Hold a message."""
    if _Current.queue is None:
        raise RuntimeError("job_runners.testing.held_runner works only with the fixture job_runner")
    _Current.queue.send(message, delay)
