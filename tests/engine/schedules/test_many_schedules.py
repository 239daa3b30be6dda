"""10,000 schedules: none of their occurrences is more than 90 s late, though all are due in the
same minute, and a tick in between reads only what is due.

At a tenth of the size and of the speed; with CHAOS set in the environment (make chaos) in full.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from pynamodb.expressions.update import Action

from hourly import NOON
from job_runners import caches, clock
from job_runners.engine.schedules import recurring, schedules
from job_runners.engine.telemetry import telemetry
from job_runners.engine.tick import timer
from job_runners.engine.wire.messages import JobMessage, Message
from job_runners.store import limits, pauses, schedule_marks
from job_runners.store.job_request import JobRequest, Status
from job_runners.store.schedule import Schedule, shards
from job_runners.testing.aws import forget
from job_runners.work.recurring import Recurring
from stored_records import jobs, on_request, records

SCALE = 1 if os.environ.get("CHAOS") else 10
SCHEDULES = 10_000 // SCALE
# As in backlog_world: what a request takes of the timer's 0.6 of a processor, in ms. With an
# occurrence's transaction go the check of its payload and three lines of the log.
TAKES = {
    "GetItem": 4.0,
    "UpdateItem": 6.0,
    "TransactWriteItems": 12.0,
    "BatchGetItem": 25.0,
    "Query": 10.0,
    "Invoke": 6.0,
}
TICK_TAKES = 55 * clock.SECOND
STARTS_IN = 2 * clock.SECOND  # another process of the timer, cold
AT_MOST_LATE = 90 * clock.SECOND


class Timers:
    """The timer, and the processes of it that a tick has help. What happened is in `calls`, `late`
    and `sent`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = float(NOON - 10 * clock.MINUTE)
        self.calls: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()
        self.late = 0
        self.lost = False  # the events with which it has others help
        self._helping: list[tuple[float, str]] = []
        on_request(self._call)
        monkeypatch.setattr(clock, "now", lambda: int(self.now))
        monkeypatch.setattr(pauses, "current", lambda fresh=False: pauses.Pauses())
        monkeypatch.setattr(limits, "current", lambda fresh=False: {})

    def tick(self, at: int) -> None:
        """Have the minute come round at this time; those that it has help begin when they can."""
        self.now = at
        timer.tick(self._send, until=at + TICK_TAKES, delegate=self._delegate)
        while self._helping:
            self.now, shard = self._helping.pop()
            until = int(self.now) + TICK_TAKES
            recurring.start_due(self._send, until=until, shards=[shard])

    def _delegate(self, shard: str) -> None:
        self._call("Invoke")
        if not self.lost:
            self._helping.append((self.now + STARTS_IN, shard))

    def _call(self, operation: str) -> None:
        self.calls[operation] += 1
        self.now += TAKES[operation] * SCALE

    def _send(self, message: Message, delay: float = 0) -> None:
        assert isinstance(message, JobMessage)
        self._call("Invoke")
        if message.id not in self.sent:  # else its job has waited for a worker
            self.late = max(self.late, int(self.now) % clock.HOUR)
        self.sent[message.id] += 1


@pytest.fixture
def timers(aws: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Timers]:
    monkeypatch.setenv("JOBS_PACKAGES", "sample_work")
    forget()
    caches.forget_all()
    telemetry.logger.setLevel("CRITICAL")
    monkeypatch.setattr(recurring, "_MAX_WITHOUT_HELP", recurring._MAX_WITHOUT_HELP // SCALE)
    schedule_marks.record_in_use()
    timers = Timers(monkeypatch)
    for number in range(SCHEDULES):
        name = f"hourly {number}"
        hourly = Recurring("sample_once", every=3600, organization_id=f"org-{number % 100}")
        definition = schedules.definition_of(hourly)
        schedules.replace(None, hourly.organization_id, name, definition, "api")
    timers.calls.clear()
    timers.now = NOON
    yield timers
    telemetry.logger.setLevel("INFO")


def test_10_000_occurrences_of_one_minute_are_all_started_within_90_seconds(
    timers: Timers, record_property: Callable[[str, object], None]
) -> None:
    timers.tick(NOON + 59_000)  # the tick may be a minute away
    assert timers.late <= AT_MOST_LATE
    assert set(timers.sent.values()) == {1}
    assert len(timers.sent) == len(jobs()) == SCHEDULES
    calls = timers.calls
    assert calls["TransactWriteItems"] == SCHEDULES
    assert calls["Invoke"] == SCHEDULES + len(shards()) - 1
    assert calls["BatchGetItem"] <= SCHEDULES / recurring._BATCH_SIZE + 3 * len(shards())
    record_property(
        "figures",
        f"10,000 occurrences of one minute, the tick 59 s away (1:{SCALE}): late at most "
        f"{timers.late / 1000:.0f} s, {sum(calls.values()) / SCHEDULES:.2f} requests each",
    )
    # An hour on, each asks whether the one before it has ended: half of them have not.
    for number, (job_id, row) in enumerate(sorted(jobs().items())):
        if number % 2:
            done = JobRequest.status.set(Status.SUCCEEDED)
            JobRequest(id=job_id).update([done], JobRequest.status == Status.QUEUED)
        assert row["status"] == "queued"
    timers.late = 0
    timers.tick(NOON + clock.HOUR + 59_000)
    assert timers.late <= AT_MOST_LATE
    assert len(timers.sent) == len(jobs()) == SCHEDULES + SCHEDULES // 2
    assert sum(item.get("skipped", 0) for item in records("schedules").values()) == SCHEDULES // 2


def test_where_nobody_helps_the_next_ticks_do_the_rest(timers: Timers) -> None:
    timers.lost = True
    for minute in range(10):
        timers.tick(NOON + minute * clock.MINUTE + 1_000)
    assert len(timers.sent) == len(jobs()) == SCHEDULES
    assert {item["started"] for item in records("schedules").values()} == {1}
    assert timers.late <= 8 * clock.MINUTE


def test_a_tick_reads_what_is_due_and_nothing_of_the_others(timers: Timers) -> None:
    few = [key for number, key in enumerate(records("schedules")) if number % (SCHEDULES // 5)]
    for key in few:
        later: list[Action] = [
            Schedule.next_at.set(NOON + clock.HOUR),
            Schedule.due_at.set(NOON + clock.HOUR),
        ]
        Schedule(*key).update(later)
    timers.tick(NOON + 1_000)
    assert len(timers.sent) == 5
    lanes = timers.calls["Query"] - 1 - len(shards())  # those of jobs
    assert lanes <= 6 * 8
    assert timers.calls["BatchGetItem"] == 1
    assert timers.calls["TransactWriteItems"] == 5
    timers.calls.clear()
    timers.tick(NOON + clock.MINUTE)
    assert "BatchGetItem" not in timers.calls
