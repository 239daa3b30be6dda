"""Recurring work: which occurrences are left out, because they were missed or the one before them
runs."""

from collections import Counter
from typing import Any

import pytest

from bench import Bench
from hourly import DAY, HOUR, MINUTE, NOON, Time, get, go_to, look, put, started
from job_runners import clock
from job_runners.engine.lines import pausing
from job_runners.engine.schedules import occurrence, schedules
from job_runners.engine.schedules.recurring import Outcome
from job_runners.store import queries, transitions
from job_runners.store import schedules as store
from job_runners.store.job_request import Status
from job_runners.store.pauses import Kind
from job_runners.work.occurrences import next_after
from job_runners.work.recurring import Each

pytestmark = pytest.mark.usefixtures("at_noon")


# --- what was missed ------------------------------------------------------------------------------


def test_of_those_that_were_missed_one_is_made_up_for(bench: Bench) -> None:
    put()
    go_to(NOON + 3 * HOUR + 20 * MINUTE)
    assert look(bench) == {Outcome.STARTED: 1}
    assert started() == [NOON + 3 * HOUR]
    schedule = get()
    assert (schedule.skipped, schedule.last_skipped_at) == (3, NOON + 2 * HOUR)
    assert schedule.last_skipped_why == "it was missed: the timer could not start it in time"
    assert schedule.next_at == NOON + 4 * HOUR


@pytest.mark.parametrize(("late", "made_up_for"), [(4 * MINUTE, [NOON + HOUR]), (6 * MINUTE, [])])
def test_or_none_but_one_that_is_hardly_late(
    bench: Bench, late: int, made_up_for: list[int]
) -> None:
    put(missed="skip")
    go_to(NOON + HOUR + late)
    look(bench)
    assert started() == made_up_for
    assert get().skipped == 2 - len(made_up_for)
    bench.deliver()
    go_to(NOON + 2 * HOUR)
    look(bench)
    assert started() == [*made_up_for, NOON + 2 * HOUR]


def test_or_each_of_the_latest(bench: Bench) -> None:
    put(missed=Each(3), overlap="allow")
    go_to(NOON + 5 * HOUR)
    assert look(bench) == {Outcome.STARTED: 3}
    assert started() == [NOON + 3 * HOUR, NOON + 4 * HOUR, NOON + 5 * HOUR]
    assert (get().started, get().skipped) == (3, 3)
    assert len(set(bench.sent_jobs)) == 3


def test_a_month_away_is_no_more_work_than_a_day(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(every=60, missed=Each(2), overlap="allow")
    go_to(NOON + 40 * DAY)
    computed = []

    def count(*given: Any) -> int | None:
        computed.append(given)
        return next_after(*given)

    monkeypatch.setattr(occurrence, "next_after", count)
    assert look(bench) == {Outcome.STARTED: 2}
    assert len(computed) < 1_100
    assert get().skipped == 1_000  # those between are not counted
    assert get().last_at == NOON + 40 * DAY
    assert queries.read(get().job_id(NOON + 40 * DAY - MINUTE))


@pytest.mark.parametrize("minutes", [999, 1_000, 1_001])
def test_the_last_of_very_many_are_made_up_for(bench: Bench, minutes: int) -> None:
    put(every=60, missed=Each(2), overlap="allow")
    last = NOON - 9 * MINUTE + minutes * MINUTE
    go_to(last)
    assert look(bench) == {Outcome.STARTED: 2}
    assert started() == [last - MINUTE, last]
    assert get().skipped == minutes - 1


def test_what_came_while_it_was_paused_is_left_out(bench: Bench) -> None:
    put(missed=Each(5), overlap="allow")
    schedules.pause("acme", "hourly")
    go_to(NOON + 3 * HOUR + 1)
    assert look(bench) == Counter()
    schedules.resume("acme", "hourly")
    assert look(bench) == Counter()
    for hour in (4, 5):
        go_to(NOON + hour * HOUR)
        assert look(bench) == {Outcome.STARTED: 1}


def test_times_that_it_did_not_have_then_were_not_missed(bench: Bench) -> None:
    put(missed=Each(50), overlap="allow")
    go_to(NOON + 10 * MINUTE + 1)
    put(every=60, missed=Each(50), overlap="allow")
    go_to(NOON + 12 * MINUTE)
    look(bench)
    assert started() == [NOON, NOON + 11 * MINUTE, NOON + 12 * MINUTE]


def test_what_was_missed_is_made_up_for_though_it_is_put_again_with_the_same_times(
    bench: Bench,
) -> None:
    """As by a deploy that changes its payload: none of those that have come is lost."""
    put(missed=Each(5), overlap="allow")
    go_to(NOON + 3 * HOUR + 1)
    put(missed=Each(5), overlap="allow", payload={"number": 4})
    assert look(bench) == {Outcome.STARTED: 4}
    assert started() == [NOON, NOON + HOUR, NOON + 2 * HOUR, NOON + 3 * HOUR]


def test_a_schedule_that_never_comes_again_is_never_due(bench: Bench) -> None:
    put(every=None, cron="0 12 * * *")
    schedule = get()
    go_to(NOON)
    store.advance(schedule, store.Progress(NOON, None))
    assert (get().next_at, get().due_at, get().due_shard) == (None, None, None)
    assert look(bench) == Counter()


# --- while the one before it runs -----------------------------------------------------------------


def test_it_is_left_out_while_the_one_before_it_runs(bench: Bench) -> None:
    put()
    go_to(NOON)
    look(bench)
    bench.claim(bench.read(get().job_id(NOON)), seconds=7 * 3600)
    go_to(NOON + HOUR)
    assert look(bench) == {Outcome.SKIPPED: 1}
    schedule = get()
    assert (schedule.last_at, schedule.last_started_at) == (NOON + HOUR, NOON)
    assert (schedule.last_skipped_at, schedule.last_skipped_why) == (
        NOON + HOUR,
        "the previous occurrence's job had not finished",
    )
    transitions.succeed(bench.read(get().job_id(NOON)), None)
    go_to(NOON + 2 * HOUR)
    assert look(bench) == {Outcome.STARTED: 1}
    assert started() == [NOON, NOON + 2 * HOUR]


def test_so_are_those_that_were_missed_meanwhile(bench: Bench) -> None:
    put()
    go_to(NOON)
    look(bench)
    bench.claim(bench.read(get().job_id(NOON)), seconds=7 * 3600)
    go_to(NOON + 3 * HOUR)
    assert look(bench) == {Outcome.SKIPPED: 1}
    assert (get().skipped, get().last_skipped_at) == (3, NOON + 3 * HOUR)
    assert get().last_skipped_why == "the previous occurrence's job had not finished"


def test_or_it_follows_when_that_has_ended_and_no_other_waits(bench: Bench) -> None:
    put(overlap="queue", missed="skip")
    go_to(NOON)
    look(bench)
    bench.claim(bench.read(get().job_id(NOON)), seconds=7 * 3600)
    for minute in range(60, 200, 10):
        go_to(NOON + minute * MINUTE)
        look(bench)
    schedule = get()
    assert (schedule.waits, schedule.next_at, schedule.last_at) == (True, NOON + HOUR, NOON)
    transitions.succeed(bench.read(schedule.job_id(NOON)), None)
    Time.now += 60 * clock.SECOND
    assert look(bench) == {Outcome.STARTED: 1}
    assert started() == [NOON, NOON + HOUR]
    schedule = get()
    assert (schedule.waits, schedule.skipped) == (None, 2)
    assert schedule.last_skipped_why == "an earlier occurrence is already waiting"
    assert (schedule.last_at, schedule.next_at) == (NOON + 3 * HOUR, NOON + 4 * HOUR)


def test_an_edit_leaves_it_waiting_unless_it_need_not_wait_any_more(bench: Bench) -> None:
    put(overlap="queue", missed="skip")
    go_to(NOON)
    look(bench)
    bench.claim(bench.read(get().job_id(NOON)), seconds=7 * 3600)
    go_to(NOON + HOUR)
    look(bench)
    edited = put(overlap="queue", missed="skip", payload={"number": 7})
    assert (edited.waits, edited.next_at) == (True, NOON + HOUR)
    edited = put(overlap="allow", payload={"number": 7})
    assert (edited.waits, edited.next_at) == (None, NOON + HOUR)
    assert look(bench) == {Outcome.STARTED: 1}


def test_or_beside_it(bench: Bench) -> None:
    put(overlap="allow")
    for hour in range(3):
        go_to(NOON + hour * HOUR)
        assert look(bench) == {Outcome.STARTED: 1}
    assert len(started()) == 3


def test_one_that_was_held_or_waits_for_another_attempt_is_not_finished(bench: Bench) -> None:
    put(job_type="sample_again")
    go_to(NOON)
    look(bench)
    pausing.pause(Kind.QUEUE, "default")
    assert bench.run(bench.read(get().job_id(NOON))).status is Status.WAITING
    go_to(NOON + HOUR)
    assert look(bench) == {Outcome.SKIPPED: 1}
