"""A year of recurring work, stepped by a clock: each occurrence once, through both changes of the
clock, with two timers."""

from collections.abc import Iterator
from itertools import pairwise

import pytest

from berlin_year import AUTUMN, BEGINS, ENDS, SPRING, YEAR, ZONE, local
from job_runners import caches, clock
from job_runners.engine.schedules import recurring, schedules
from job_runners.engine.telemetry import schedule_log, telemetry
from job_runners.store import limits, pauses, schedule_marks
from job_runners.store.job_request import JobRequest, Status
from job_runners.store.schedule import Schedule
from job_runners.testing.aws import forget
from job_runners.work.recurring import Recurring
from stored_records import jobs, records

DECLARED = {
    "nightly": Recurring("sample_once", cron="30 2 * * *", timezone=ZONE.key, organization_id="a"),
    "half hours": Recurring(
        "sample_once", cron="*/30 2 * * *", timezone=ZONE.key, organization_id="a"
    ),
    "weekly": Recurring("sample_once", every=7 * 86_400, organization_id="a"),
}


class Year:
    """A clock, the tables, and what was started, by schedule."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = BEGINS - 1
        self.started: dict[str, list[int]] = {name: [] for name in DECLARED}
        self._unfinished: list[JobRequest] = []
        monkeypatch.setattr(clock, "now", lambda: self.now)
        monkeypatch.setattr(pauses, "current", lambda fresh=False: pauses.Pauses())
        monkeypatch.setattr(limits, "current", lambda fresh=False: {})
        monkeypatch.setattr(schedule_log, "occurrence_started", self._note)

    def _note(self, row: JobRequest, schedule: Schedule, _step: object, at: int) -> None:
        assert 0 <= self.now - at <= clock.MINUTE
        assert row.id == schedule.job_id(at)
        self.started[schedule.name].append(at)
        self._unfinished.append(row)

    def pass_by(self) -> None:
        """Let the year pass: a tick of each timer after each time that something is due, whose job
        has ended before the next."""
        while (due := min(item["due_at"] for item in records("schedules").values())) < ENDS:
            for late in (13_000, 40_000):
                self.now = due + late
                recurring.start_due(lambda message, delay=0: None, until=self.now + clock.MINUTE)
            while self._unfinished:
                done = JobRequest.status.set(Status.SUCCEEDED)
                self._unfinished.pop().update([done], JobRequest.status == Status.QUEUED)


@pytest.fixture
def year(aws: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Year]:
    monkeypatch.setenv("JOBS_PACKAGES", "sample_work")
    forget()
    caches.forget_all()
    telemetry.logger.setLevel("CRITICAL")
    schedule_marks.record_in_use()
    year = Year(monkeypatch)
    for name, asked in DECLARED.items():
        schedules.replace(None, "a", name, schedules.definition_of(asked), "api")
    yield year
    telemetry.logger.setLevel("INFO")


def test_a_year_brings_each_occurrence_once_through_both_changes_of_the_clock(year: Year) -> None:
    year.pass_by()
    # A time of the night that is skipped comes as the clock jumps; one that comes twice, once.
    nights = [local(day, 2, 30) for day in YEAR]
    nights[YEAR.index(SPRING)] = local(SPRING, 3, 0)
    assert year.started["nightly"] == nights
    # What comes whenever the clock shows it is skipped with its hour, and comes twice with it.
    shown = [local(day, 2, minute) for day in YEAR if day != SPRING for minute in (0, 30)]
    again = [local(AUTUMN, 2, minute, fold=1) for minute in (0, 30) if AUTUMN in YEAR]
    assert year.started["half hours"] == sorted(shown + again)
    weeks = year.started["weekly"]
    assert len(weeks) == (len(YEAR) - 1) // 7
    assert {later - week for week, later in pairwise(weeks)} <= {7 * clock.DAY}
    assert all(
        not item.get("skipped") and not item.get("failed") for item in records("schedules").values()
    )
    assert len(jobs()) == sum(map(len, year.started.values()))
