"""A runner for tests, which holds messages until a test runs them.

To use it, set JOB_RUNNER=job_runners.testing.held_runner. Work runs in this process, and messages
are converted to JSON and back. The clock moves forward to the next due time.
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

_PATIENCE = 1000  # messages that may run before NeverEnds is raised
_PER_MEMBER = 2  # and this number more for each member of a group
_INVOCATION = 900.0  # seconds that an invocation has


class NeverEnds(AssertionError):
    """Jobs or tasks are still unfinished after the maximum number of messages has run."""

    def __init__(self, rows: list[JobRequest]) -> None:
        jobs = "".join(f"\n  {row.job_type} {row.id}, {row.state}" for row in rows)
        super().__init__(
            f"{_PATIENCE} messages were not enough. Does a job or a task dispatch itself forever?"
            f"{jobs or ' All jobs are finished, so it must be a task.'}"
        )


def _rounds() -> Iterator[int]:
    """Yield until patience ends. It ends later if there are groups with many members."""
    count, most = 0, _PATIENCE
    while count < most:
        yield count
        count += 1
        if count == most:
            members = [row for row in every_row(JobRequest) if row.member_of is not None]
            most = _PATIENCE + _PER_MEMBER * len(members)


class HeldMessages:
    """The messages that were sent and have not run yet, in order of time."""

    def __init__(self, movable_clock: MovableClock) -> None:
        self._clock = movable_clock
        self._held: list[tuple[int, int, Message]] = []
        self._numbers = itertools.count()

    def send(self, message: Message, delay: float = 0) -> None:
        """Hold a message until a test runs it, after its delay at the earliest."""
        at = clock.now() + int(delay * clock.SECOND)
        heapq.heappush(self._held, (at, next(self._numbers), decode(encode(message))))

    def run_all(
        self, *, seconds: float = _INVOCATION, signals: Mapping[str, Any] | None = None
    ) -> None:
        """Run everything to its end. Raises NeverEnds.

        Whenever nothing is ready, send jobs the `signals` for which they wait, or move the clock to
        the next due time. Each invocation has `seconds`.
        """
        for _ in _rounds():
            if self._run_ready(seconds) or answer_waits(signals or {}, self.send):
                continue
            awaited = self._awaited()
            if not awaited:
                return
            self._clock.advance(max(0, min(awaited) - clock.now()) / clock.SECOND)
            if not self._is_ready():
                self._tick()
        raise NeverEnds([row for row in every_row(JobRequest) if not row.status.finished])

    def run_due(self, *, seconds: float = _INVOCATION) -> None:
        """Run what is due by now, and leave the rest. The clock doesn't move. Raises NeverEnds."""
        for _ in _rounds():
            if not self._run_ready(seconds):
                self._tick()
                if not self._is_ready():
                    return
        raise NeverEnds([row for row in every_row(JobRequest) if not row.status.finished])

    def _awaited(self) -> list[int]:
        due = [row.due_at for row in every_row(JobRequest) if row.due_at is not None]
        return [*due, *(at for at, *_ in self._held)]

    def _is_ready(self) -> bool:
        return bool(self._held) and self._held[0][0] <= clock.now()

    def _run_ready(self, seconds: float) -> bool:
        if not self._is_ready():
            return False
        *_, message = heapq.heappop(self._held)
        with self._clock.moved_by_sleep():
            run(message, deadline=clock.now() + int(seconds * clock.SECOND), send=self.send)
        return True

    def _tick(self) -> None:
        timer.tick(self.send, until=clock.now() + clock.MINUTE)


def answer_waits(signals: Mapping[str, Any], send: Send) -> bool:
    """Send each job the first of these signals for which it waits. Return whether one waits."""
    has_sent = False
    for row in every_row(JobRequest):
        wait = current_wait.of(row) if row.awaits_signal else None
        name = next((each for each in wait.names if each in signals), None) if wait else None
        if name is not None:
            signaling.signal(row, name, signals[name], send)
            has_sent = True
    return has_sent


class _Current:
    messages: HeldMessages | None = None


def hold_in(messages: HeldMessages | None) -> None:
    """Hold all messages sent to this runner in `messages` from now on."""
    _Current.messages = messages


def fully_configured() -> bool:
    """Return whether a test has set where messages are held."""
    return _Current.messages is not None


def dispatch_job(job_data: "JobData") -> Accepted:
    """Save the job and hold its message."""
    return dispatch.dispatch_job(job_data, send)


def dispatch_task(task_name: str, payload: Any) -> str:
    """Hold a message for the task, and return the task's id."""
    return dispatch.dispatch_task(task_name, payload, send)


def send(message: Message, delay: float = 0) -> None:
    """Hold a message."""
    if _Current.messages is None:
        raise RuntimeError("job_runners.testing.held_runner works only with the fixture job_runner")
    _Current.messages.send(message, delay)
