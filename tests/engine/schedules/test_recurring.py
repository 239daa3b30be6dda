"""Recurring work in a tick: each occurrence that has come is started, and once."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from bench import Bench
from hourly import DAY, HOUR, MINUTE, NOON, Time, get, go_to, look, put, started
from job_runners import clock
from job_runners.aws import clients
from job_runners.engine.dispatch import dispatch
from job_runners.engine.schedules import recurring, schedules
from job_runners.engine.schedules.recurring import Outcome
from job_runners.errors import SendFailed
from job_runners.store import blobs
from job_runners.store.job_request import JobRequest

pytestmark = pytest.mark.usefixtures("at_noon")


def test_an_occurrence_is_a_job_of_its_schedule(bench: Bench) -> None:
    put(payload={"number": 3})
    assert look(bench) == Counter()
    go_to(NOON + 40_000)
    assert look(bench) == {Outcome.STARTED: 1}
    schedule = get()
    row = bench.read(schedule.job_id(NOON))
    assert (row.job_type, row.organization_id) == ("sample_once", "acme")
    assert row.created_by == "schedule:hourly"
    assert blobs.get(row.payload, row.payload_key) == {"number": 3}
    assert bench.sent_jobs == [row.id]
    assert (schedule.last_at, schedule.last_started_at) == (NOON, NOON)
    assert (schedule.last_job_id, schedule.started) == (row.id, 1)
    assert schedule.next_at == schedule.due_at == NOON + HOUR
    assert look(bench) == Counter()


def test_it_is_started_within_the_tick_that_the_minute_brings(bench: Bench) -> None:
    put()
    go_to(NOON + 40_000)
    assert bench.tick().schedules == {Outcome.STARTED: 1}
    assert len(bench.sent) == 1


def test_a_first_schedule_that_is_due_at_once_starts_on_time(bench: Bench) -> None:
    go_to(NOON - 500)
    put()
    go_to(NOON)
    assert look(bench) == {Outcome.STARTED: 1}


def test_a_late_timer_run_starts_no_job_that_the_next_run_overlaps(bench: Bench) -> None:
    """The next occurrence is due half a second after the job of the previous one was saved."""
    put(every=60)
    go_to(NOON + 59_600)
    look(bench)
    go_to(NOON + 60_100)
    look(bench)
    assert started() == [NOON]


def test_what_is_due_longest_is_started_first(bench: Bench) -> None:
    minutes = [7, 2, 9, 0, 4, 8, 1, 6, 3, 5]
    for minute in minutes:
        put(f"at {minute}", cron=f"{minute} * * * *", every=None)
    go_to(NOON + 10 * MINUTE)
    assert look(bench) == {Outcome.STARTED: 10}
    in_order = [get(f"at {minute}").last_job_id for minute in sorted(minutes)]
    assert bench.sent_jobs == in_order


def test_a_day_of_ticks_starts_each_occurrence_once(bench: Bench) -> None:
    put()
    for _ in range(24 * 6):
        Time.now += 10 * MINUTE
        for _ in range(2):  # two timers
            look(bench)
        bench.deliver()
    assert len(started()) == 24
    assert (get().started, get().skipped) == (24, 0)


@pytest.mark.parametrize("back", [MINUTE, DAY, 400 * DAY])
def test_a_clock_that_goes_back_starts_nothing_twice(bench: Bench, back: int) -> None:
    put()
    go_to(NOON)
    look(bench)
    bench.deliver()
    row = bench.read(get().job_id(NOON))
    row.delete()  # so that its id is free
    Time.now -= back
    look(bench)
    put(payload={"number": 2})  # edited by that clock
    put(every=1800)
    schedules.pause("acme", "hourly")
    schedules.resume("acme", "hourly")
    schedules.delete("acme", "hourly")
    put()
    look(bench)
    go_to(NOON + MINUTE)
    look(bench)
    assert started() == []
    go_to(NOON + HOUR)
    look(bench)
    assert started() == [NOON + HOUR]


def test_two_timers_that_read_it_together_start_it_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, counted: Counter[str]
) -> None:
    put()
    go_to(NOON)
    accept = dispatch.accept_job
    counts: list[Counter[Outcome]] = []

    def overtaken(*arguments: Any, **options: Any) -> JobRequest:
        monkeypatch.setattr(dispatch, "accept_job", accept)
        counts.append(look(bench))
        bench.deliver()
        counted.clear()
        bench.read(get().job_id(NOON)).delete()  # the other's job has ended, and was deleted
        return accept(*arguments, **options).row

    monkeypatch.setattr(dispatch, "accept_job", overtaken)
    assert look(bench) == {Outcome.MOVED: 1}
    assert counts == [{Outcome.STARTED: 1}]
    assert started() == []
    assert "UpdateItem" not in counted


@pytest.mark.parametrize(
    "deed",
    [
        lambda: schedules.delete("acme", "hourly"),
        lambda: schedules.pause("acme", "hourly"),
    ],
)
def test_nothing_starts_after_a_delete_or_a_pause_that_came_between(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, deed: Callable[[], object]
) -> None:
    put()
    go_to(NOON)
    accept = dispatch.accept_job

    def overtaken(*arguments: Any, **options: Any) -> JobRequest:
        deed()
        return accept(*arguments, **options).row

    monkeypatch.setattr(dispatch, "accept_job", overtaken)
    assert look(bench) == {Outcome.MOVED: 1}
    assert started() == []


def test_an_edit_in_the_minute_it_is_due_starts_it_once_as_it_is_now(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    put()
    go_to(NOON)
    accept = dispatch.accept_job

    def overtaken(*arguments: Any, **options: Any) -> JobRequest:
        monkeypatch.setattr(dispatch, "accept_job", accept)
        put(payload={"number": 4})
        return accept(*arguments, **options).row

    monkeypatch.setattr(dispatch, "accept_job", overtaken)
    assert look(bench) == {Outcome.MOVED: 1}
    assert look(bench) == {Outcome.STARTED: 1}
    row = bench.read(get().job_id(NOON))
    assert blobs.get(row.payload, row.payload_key) == {"number": 4}


def test_who_is_killed_has_saved_the_job_and_moved_on_or_neither(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    put()
    go_to(NOON)

    def killed(**_: Any) -> None:
        raise KeyboardInterrupt

    client = clients.client("dynamodb")
    client.meta.events.register_first("before-send.dynamodb.TransactWriteItems", killed)
    with pytest.raises(KeyboardInterrupt):
        look(bench)
    client.meta.events.unregister("before-send.dynamodb.TransactWriteItems", killed)
    assert (started(), get().last_at) == ([], None)
    client.meta.events.register_first("after-call.dynamodb.TransactWriteItems", killed)
    with pytest.raises(KeyboardInterrupt):
        look(bench)
    client.meta.events.unregister("after-call.dynamodb.TransactWriteItems", killed)
    assert (started(), get().last_at) == ([NOON], NOON)
    assert look(bench) == Counter()
    Time.now += 61 * clock.SECOND
    bench.tick()
    assert bench.sent_jobs == [get().job_id(NOON)]  # its row was due


def test_a_save_whose_answer_is_lost_has_landed_once(bench: Bench) -> None:
    put()
    go_to(NOON)
    lost = iter([True])

    def lose(**_: Any) -> int | None:
        return 0 if next(lost, False) else None  # botocore sends it again at once

    client = clients.client("dynamodb")
    client.meta.events.register_first("needs-retry.dynamodb.TransactWriteItems", lose)
    assert look(bench) == {Outcome.STARTED: 1}
    assert (started(), get().started) == ([NOON], 1)


def test_a_worker_that_can_t_be_reached_costs_a_few_tries_and_loses_nothing(bench: Bench) -> None:
    for number in range(10):
        put(f"hourly {number}")
    go_to(NOON)
    tried = []

    def send(message: Any, delay: float = 0) -> None:
        tried.append(message)
        raise SendFailed(message.title, "Lambda is away")

    assert recurring.start_due(send, until=clock.now() + MINUTE) == {Outcome.STARTED: 10}
    assert len(tried) == 3
    Time.now += 61 * clock.SECOND
    bench.tick()
    assert len(bench.sent) == 10
