"""A schedule that comes each hour, on a clock that a test sets, and looks at what is due of it."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from bench import Bench
from job_runners import caches, clock
from job_runners.aws import clients
from job_runners.engine.schedules import recurring, schedules
from job_runners.engine.schedules.recurring import Outcome
from job_runners.store.schedule import Schedule
from job_runners.testing import moto_direct
from job_runners.work.recurring import Recurring

NOON = 1_800_014_400_000  # of a day in January 2027, in UTC
MINUTE, HOUR, DAY = clock.MINUTE, clock.HOUR, clock.DAY


class Time:
    """The time of every clock. Unlike a bench's, it can go back."""

    now = 0


@pytest.fixture
def at_noon(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set every clock to ten minutes before noon, where no schedules are known so far."""
    Time.now = NOON - 10 * MINUTE
    monkeypatch.setattr(clock, "now", lambda: Time.now)
    monkeypatch.setattr("job_runners.store.schedule.SHARDS", 2)
    caches.forget_all()
    yield
    caches.forget_all()


@pytest.fixture
def counted(bench: Bench) -> Counter[str]:
    """Count the calls to DynamoDB from here on, by operation."""
    calls: Counter[str] = Counter()
    clients.client("dynamodb").meta.events.register(
        "before-call.dynamodb", lambda model, **_: calls.update([model.name])
    )
    return calls


def hourly(job_type: str = "sample_once", **changed: Any) -> Recurring:
    asked: dict[str, Any] = {"every": 3600, "organization_id": "acme"} | changed
    return Recurring(job_type, **asked)


def put(name: str = "hourly", **changed: Any) -> Schedule:
    return schedules.put("acme", name, hourly(**changed))[0]


def get(name: str = "hourly") -> Schedule:
    return schedules.get("acme", name)


def look(bench: Bench, **options: Any) -> Counter[Outcome]:
    """Return what one look at what is due has done."""
    return recurring.start_due(bench.send, until=clock.now() + MINUTE, **options)


def go_to(time: int) -> None:
    Time.now = time


def started() -> list[int]:
    """Return the times of the occurrences of `hourly` that have a row, as far as two days go."""
    ids = {row["id"] for row in moto_direct.rows("jobs")}
    schedule = Schedule("schedules#acme", "hourly")
    return [at for at in range(NOON, NOON + 2 * DAY, MINUTE) if schedule.job_id(at) in ids]
