"""A year of unique work, stepped by a clock: what recurs meets what is asked for before it, while
it runs and after it, through both changes of the clock, with two timers."""

import heapq
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date
from itertools import count

import pytest

from berlin_year import BEGINS, SPRING, YEAR, ZONE, local
from job_runners import caches, clock
from job_runners.engine.dispatch import dispatch
from job_runners.engine.running import execution
from job_runners.engine.schedules import recurring, schedules
from job_runners.engine.telemetry import schedule_log, telemetry
from job_runners.engine.wire.messages import Message
from job_runners.engine.wire.sending import send_if_unclaimed
from job_runners.runners import JobData
from job_runners.store import limits, pauses, schedule_marks
from job_runners.store.job_request import DuplicateAnswer, JobRequest, Status
from job_runners.store.schedule import Schedule
from job_runners.testing.aws import forget
from job_runners.work import RunningJob
from job_runners.work.recurring import Recurring
from sample_work import script
from stored_records import forget_job, jobs, records
from unique_sample import Lot

MINUTE = clock.MINUTE
FIRST, SECOND = 13_000, 40_000  # when the timers come, after an occurrence
# By night, one more follows a job that has begun. At noon and in the evening a job that waits is
# put off, by ten minutes at most.
DECLARED = {
    "night": Recurring(
        "unique_follow",
        cron="30 2 * * *",
        timezone=ZONE.key,
        organization_id="a",
        payload={"lot": "night", "text": "nightly"},
    ),
    "noon": Recurring(
        "unique_replace",
        cron="0 12 * * *",
        timezone=ZONE.key,
        organization_id="a",
        payload={"lot": "noon", "text": "daily"},
    ),
}


class Year:
    """A clock, the tables, workers who are told what was sent, and two timers.

    `ran` are the texts of the jobs that ran, in order, each with its time.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = BEGINS - MINUTE * 60
        self.ran: list[tuple[int, str]] = []
        self.occurrences: dict[str, list[int]] = {name: [] for name in DECLARED}
        self.meanwhile: Callable[[], None] | None = None  # what happens while the next job runs
        self._sent: list[tuple[int, int, Message]] = []
        self._order = count()
        monkeypatch.setattr(clock, "now", lambda: self.now)
        monkeypatch.setattr(pauses, "current", lambda fresh=False: pauses.Pauses())
        monkeypatch.setattr(limits, "current", lambda fresh=False: {})
        monkeypatch.setattr(schedule_log, "occurrence_started", self._note)
        monkeypatch.setattr(script, "job", self._run)

    def ask(self, lot: str, text: str, delay: int = 0) -> DuplicateAnswer | None:
        """Ask for work. Return how that was answered by another job, if it was."""
        job_type = {"night": "unique_follow", "any": "unique_return"}.get(lot, "unique_replace")
        payload = {"lot": lot, "text": text}
        data = JobData(job_type=job_type, organization_id="a", payload=payload, delay=delay)
        accepted = dispatch.accept_job(data, send=self._send)
        send_if_unclaimed(accepted, self._send)
        self._check()
        return accepted.duplicate and accepted.duplicate.outcome

    def until(self, time: int) -> None:
        """Let time pass: timers tick when an occurrence has come, and messages arrive."""
        while (next_at := min(self._tick_at(), self._sent[0][0] if self._sent else time)) < time:
            if next_at == self._tick_at():
                self.tick()
            else:
                self.now, _, message = heapq.heappop(self._sent)
                execution.run(message, deadline=self.now + 15 * MINUTE, send=self._send)
                self._check()
        self.now = time

    def tick(self) -> None:
        """Have both timers start what has come, one after the other."""
        due = min(item["due_at"] for item in records("schedules").values())
        for late in (FIRST, SECOND):
            self.now = due + late
            recurring.start_due(self._send, until=self.now + MINUTE)
            self._check()

    def end_day(self) -> None:
        """Have all that there is ended, and forget it: it has expired."""
        assert not self._held()
        for job_id, row in jobs().items():
            assert row["status"] == Status.SUCCEEDED
            forget_job(job_id)

    def _tick_at(self) -> int:
        due: int = min(item["due_at"] for item in records("schedules").values())
        return due + FIRST

    def _send(self, message: Message, delay: float = 0) -> None:
        at = self.now + int(delay * clock.SECOND)
        heapq.heappush(self._sent, (at, next(self._order), message))

    def _run(self, job: RunningJob, payload: Lot) -> None:
        self.ran.append((self.now, payload.text))
        deed, self.meanwhile = self.meanwhile, None
        if deed is not None:
            deed()

    def _note(self, _row: JobRequest, schedule: Schedule, _step: object, at: int) -> None:
        assert 0 <= self.now - at <= MINUTE
        self.occurrences[schedule.name].append(at)

    def _held(self) -> dict[str, str]:
        """Return the keys that are taken, each with the `created_key` of the job that has it."""
        return {
            key.removeprefix("unique#"): item["holder"]
            for (key, sort), item in records("unique").items()
            if sort == "holder"
        }

    def _check(self) -> None:
        """Check that each key has one job, which its record names, and at most one that follows."""
        rows = [JobRequest.get(job_id, consistent_read=True) for job_id in jobs()]
        unfinished = [row for row in rows if not row.status.finished]
        holders = [row for row in unfinished if row.follows is None]
        assert {row.unique_key: row.created_key for row in holders} == self._held()
        assert len(holders) == len(self._held())
        followers = Counter(row.unique_key for row in unfinished if row.follows is not None)
        assert set(followers.values()) <= {1}


@pytest.fixture
def year(aws: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Year]:
    monkeypatch.setenv("JOBS_PACKAGES", "sample_work,unique_sample")
    forget()
    caches.forget_all()
    script.reset()
    telemetry.logger.setLevel("CRITICAL")
    schedule_marks.record_in_use()
    year = Year(monkeypatch)
    for name, asked in DECLARED.items():
        schedules.replace(None, "a", name, schedules.definition_of(asked), "api")
    yield year
    telemetry.logger.setLevel("INFO")
    script.reset()


def a_night(year: Year, at: int, how: int) -> list[str]:
    """Let an occurrence come that meets nothing, one that waits, or one that runs; return what is
    to run because of it."""

    def two_more() -> None:
        year.now += MINUTE
        assert year.ask("night", "first") is DuplicateAnswer.FOLLOWS
        assert year.ask("night", "second") is DuplicateAnswer.REPLACED

    def the_occurrence() -> None:
        year.now = at
        year.tick()
        assert year.ask("night", "later") is DuplicateAnswer.REPLACED

    year.until(at - 5 * MINUTE)
    if how == 0:
        year.meanwhile = two_more
        expected = ["nightly", "second"]
    elif how == 1:
        assert year.ask("night", "before", delay=600) is None
        year.meanwhile = two_more
        expected = ["nightly", "second"]
    else:
        assert year.ask("night", "before", delay=240) is None
        year.meanwhile = the_occurrence
        expected = ["before", "later"]
    year.until(at + 20 * MINUTE)
    assert year.ask("night", "after") is None
    return [*expected, "after"]


def a_noon(year: Year, day: date) -> list[str]:
    """Put a job off until the occurrence comes, which has it done at once. Then ask for another one
    that is there."""
    year.until(local(day, 11, 54))
    assert year.ask("noon", "sooner", delay=300) is None
    year.until(local(day, 11, 58))
    assert year.ask("noon", "sooner", delay=300) is DuplicateAnswer.REPLACED
    year.until(local(day, 13, 0))
    assert year.ask("any", "one", delay=60) is None
    assert year.ask("any", "other") is DuplicateAnswer.RETURNED
    return ["daily", "one"]


def a_noon_and_an_evening(year: Year, day: date) -> list[str]:
    """Let the occurrence meet nothing. Then put a job off for longer than may be: it is done ten
    minutes after it was to start first."""
    year.until(local(day, 18, 0))
    assert year.ask("evening", "first", delay=480) is None
    year.until(local(day, 18, 7))
    assert year.ask("evening", "second", delay=480) is DuplicateAnswer.REPLACED
    year.until(local(day, 18, 14))
    assert year.ask("evening", "third", delay=480) is DuplicateAnswer.REPLACED
    year.until(local(day, 18, 30))
    assert year.ran[-1] == (local(day, 18, 18), "third")
    return ["daily", "third"]


def test_a_year_of_what_recurs_and_is_unique_loses_and_doubles_nothing(year: Year) -> None:
    nights = [local(day, 2, 30) for day in YEAR]
    nights[YEAR.index(SPRING)] = local(SPRING, 3, 0)
    expected: list[str] = []
    for number, day in enumerate(YEAR):
        expected += a_night(year, nights[number], number % 3)
        expected += (a_noon if number % 2 else a_noon_and_an_evening)(year, day)
        year.until(local(day, 19, 0))
        year.end_day()
    assert [text for _, text in year.ran] == expected
    assert year.occurrences == {"night": nights, "noon": [local(day, 12, 0) for day in YEAR]}
    for item in records("schedules").values():
        assert (item["started"], item.get("skipped"), item.get("failed")) == (len(YEAR), None, None)
