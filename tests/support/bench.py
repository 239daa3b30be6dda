"""Run jobs step by step: nothing is sent until a test says so, on a clock that a test moves."""

from collections.abc import Iterator
from typing import Any

import pytest

from distinct_times import next_millisecond
from job_runners import clock
from job_runners.aws.errors import AWS_ERRORS
from job_runners.engine.running import execution
from job_runners.engine.tick import timer
from job_runners.engine.wire.messages import JobMessage, Message, TaskMessage
from job_runners.engine.wire.sending import Accepted
from job_runners.runners import get_job_runner
from job_runners.runners.base import JobData
from job_runners.store import job_request, queries, transitions
from job_runners.store.job_request import DuplicateOutcome, JobRequest
from job_runners.testing.aws import forget
from job_runners.testing.movable_clock import MovableClock
from sample_work import script


class Bench:
    """Keeps each message in `sent`, with its delay, until a test delivers it."""

    def __init__(self) -> None:
        self.clock = MovableClock()
        self.sent: list[tuple[Message, float]] = []
        self._accepted: list[Accepted] = []

    def dispatch(self, job_type: str = "sample_again", **fields: Any) -> JobRequest:
        """Accept a job, without sending a message."""
        next_millisecond()
        data = {"organization_id": "acme", "payload": {"number": 1}} | fields
        accepted = get_job_runner().dispatch_job(JobData(job_type=job_type, **data))
        self._accepted.append(accepted)
        return accepted.row

    def duplicate(self, row: JobRequest) -> DuplicateOutcome | None:
        """Return how another job answered the request that returned this row, if one did."""
        return next(each.duplicate for each in self._accepted if each.row is row)

    def send(self, message: Message, delay: float = 0) -> None:
        """Keep a message that the engine sends."""
        self.sent.append((message, delay))

    def run(self, row: JobRequest, seconds: float = 900) -> JobRequest:
        """Run a message about the job as a worker does, and return the row as it is afterwards."""
        self.run_message(JobMessage.about(row), seconds)
        return self.read(row)

    def claim(self, row: JobRequest, seconds: float = 900) -> JobRequest:
        """Claim the job for an invocation of this length, and return the claimed row."""
        deadline = clock.now() + int(seconds * clock.SECOND)
        return transitions.claim(
            row.id, job_type=row.job_type, send_id="s", deadline=deadline
        ).after

    def run_message(self, message: Message, seconds: float = 900) -> None:
        """Run a message in an invocation of this length.

        Each runs in a millisecond of its own, because jobs that are held within one have no order.
        """
        next_millisecond()
        deadline = clock.now() + int(seconds * clock.SECOND)
        execution.run(message, deadline=deadline, send=self.send)

    def deliver(self) -> int:
        """Run all sent messages, and those that they send. Return how many there were."""
        delivered = 0
        while self.sent:
            message, _ = self.sent.pop(0)
            self.run_message(message)
            delivered += 1
        return delivered

    def run_out(self) -> None:
        """Run all sent messages, and those that they send, each after its delay."""
        while self.sent:
            message, delay = self.sent.pop(0)
            self.advance(delay)
            self.run_message(message)

    def tick(self) -> timer.TickResult:
        """Run the timer, as it runs every minute."""
        return timer.tick(self.send, until=clock.now() + clock.MINUTE)

    def advance(self, seconds: float) -> None:
        """Move the clock forward."""
        self.clock.advance(seconds)

    @property
    def moved(self) -> int:
        """Return how far the clock was moved, in milliseconds."""
        return self.clock.moved

    def read(self, row: JobRequest | str) -> JobRequest:
        """Return the row as it is now."""
        found = queries.read(row if isinstance(row, str) else row.id)
        assert found is not None
        return found

    def read_quietly(self, job_id: str) -> bool:
        """Return whether the row can be read now, and has a cursor."""
        try:
            return self.read(job_id).cursor is not None
        except AWS_ERRORS:
            return False

    @property
    def sent_jobs(self) -> list[str]:
        """Return the ids of the jobs of the sent messages, in order."""
        return [message.id for message, _ in self.sent if isinstance(message, JobMessage)]

    @property
    def sent_tasks(self) -> list[TaskMessage]:
        """Return the sent tasks, in order."""
        return [message for message, _ in self.sent if isinstance(message, TaskMessage)]


@pytest.fixture
def bench(aws: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """Provide a bench with sample work. The test fails if an assert in the work does."""
    monkeypatch.setenv("JOBS_PACKAGES", "sample_work")
    monkeypatch.setenv("JOBS_SAME_PROCESS", "false")
    forget()
    script.reset()
    script.broken.clear()
    bench = Bench()
    monkeypatch.setattr(clock, "now", bench.clock.now)
    monkeypatch.setattr(clock, "sleep", bench.advance)
    # The timer queries every shard, so have few. tests/engine/tick/test_timer.py has all of them.
    monkeypatch.setattr(job_request, "DUE_SHARDS", 2)
    yield bench
    assert script.broken == []


@pytest.fixture
def still(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Return a bench whose clock moves only if a test moves it."""
    began = clock.now()
    monkeypatch.setattr(clock, "now", lambda: began + bench.moved)
    return bench
