"""A backlog of a day behind 10 workers: what it costs, and that it keeps nobody else waiting.

At a tenth of the size and of the speed; with CHAOS set in the environment (make chaos) in full.
"""

import os
from collections.abc import Callable, Iterator

import pytest

from backlog_world import WORKERS, World
from job_runners import clock
from job_runners.engine.telemetry import telemetry
from job_runners.testing.aws import forget
from sample_work import script

CHAOS = bool(os.environ.get("CHAOS"))
SCALE = 1 if CHAOS else 10
JOB_TAKES = clock.MINUTE
AT_MOST_LATE = 2 * clock.MINUTE
DAY_AND_AN_HOUR = 25 * clock.HOUR


@pytest.fixture
def world(aws: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setenv("PROJECT_PACKAGES", "sample_work")
    forget()
    script.reset()
    telemetry.logger.setLevel("CRITICAL")
    monkeypatch.setattr("job_runners.engine.telemetry.metrics.emit", lambda *_, **__: None)
    world = World(monkeypatch, job_takes=JOB_TAKES, scale=SCALE)
    world.note_rescues(monkeypatch)
    yield world
    telemetry.logger.setLevel("INFO")


@pytest.mark.more
@pytest.mark.parametrize("jobs", [20_000, 100_000] if CHAOS else [20_000])
def test_a_backlog_costs_few_sends_and_keeps_nobody_elses_job_waiting(
    world: World, jobs: int, record_property: Callable[[str, object], None]
) -> None:
    jobs //= SCALE
    world.save_backlog(jobs, over=10 * clock.MINUTE)
    for minute in range(0, 24 * 60, 7):
        world.at(minute * clock.MINUTE + 11_000, world.schedule)
        world.at(minute * clock.MINUTE + 23_000, world.retry)
        world.at(minute * clock.MINUTE + 37_000, world.die)
    world.run(DAY_AND_AN_HOUR)

    sends = sum(world.sends.values())
    record_property(
        "figures",
        f"{jobs * SCALE:,} jobs behind {WORKERS} workers, 25 hours (1:{SCALE}): sent again "
        f"{sends / jobs:.2f} times each; late at most: starts {world.late['start'] / 1000:.0f} s, "
        f"and {world.late['worker'] / clock.HOUR:.1f} h until a worker has them; "
        f"rescues {world.late['rescue'] / 1000:.0f} s, the timer {world.late['tick'] / 1000:.0f} s",
    )
    assert sends <= 3 * jobs
    assert 0 < world.late["start"] <= AT_MOST_LATE
    assert 0 < world.late["rescue"] <= AT_MOST_LATE
    # Workers always had something to do, though Lambda forgets an event after 6 hours.
    of_a_day = WORKERS // SCALE * clock.DAY // JOB_TAKES
    assert world.outcomes()["succeeded"] >= 0.98 * min(jobs, of_a_day)
    # What nobody could start in a day has failed, but for the last that were sent: those fail when
    # the timer looks at them within the hour.
    assert len(world.unfinished()) < 1000 // SCALE


def test_lost_messages_are_sent_as_fast_as_workers_take_them(world: World) -> None:
    """Lambda was away for ten minutes, and none of the workers has anything to do."""
    world.drops = 1  # every event
    world.save_backlog(2_000, over=10 * clock.MINUTE)
    world.drops = None
    world.run(200 * clock.MINUTE)
    assert world.outcomes()["succeeded"] >= 0.95 * 200 * WORKERS // SCALE
