"""Many schedules that are due at once: who starts them, and what a tick costs."""

import io
from collections import Counter
from typing import Any

import pytest
from botocore.exceptions import ClientError

import job_runners.handlers.timer
from bench import Bench
from counted_units import Units
from hourly import HOUR, MINUTE, NOON, Time, get, go_to, look, put
from job_runners import clock
from job_runners.engine.schedules import recurring
from job_runners.engine.schedules.recurring import Outcome
from job_runners.store import limits
from job_runners.store import schedules as store
from job_runners.store.job_request import Status
from job_runners.store.schedule import Schedule
from job_runners.testing.lambda_context import Context
from job_runners.work.recurring import Each
from sample_work import script
from scale_page import more_units
from telemetry_lines import logged

pytestmark = pytest.mark.usefixtures("at_noon")


# --- many of them ---------------------------------------------------------------------------------


def test_many_that_are_due_are_shared_out_by_shard(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recurring, "_MAX_WITHOUT_HELP", 3)
    monkeypatch.setattr("job_runners.store.schedule.SHARDS", 4)
    for number in range(12):
        put(f"hourly {number}")
    go_to(NOON)
    delegated: list[str] = []
    counts = Counter[Outcome]()

    def delegate(shard: str) -> None:
        delegated.append(shard)
        if len(delegated) > 1:  # of the first, the event is lost
            counts.update(look(bench, shards=[shard]))

    counts.update(look(bench, delegate=delegate))
    assert counts[Outcome.STARTED] == 12
    assert len(delegated) == 3
    assert len(set(bench.sent_jobs)) == len(bench.sent_jobs) == 12


def test_what_others_were_asked_to_look_at_comes_last_and_from_its_end(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of them may have come to it; one that has is met once, in the middle."""
    monkeypatch.setattr(recurring, "_MAX_WITHOUT_HELP", 1)
    for minute in range(10):
        put(f"at {minute}", cron=f"{minute} * * * *", every=None)
    go_to(NOON + 10 * MINUTE)
    delegated: list[str] = []
    assert look(bench, delegate=delegated.append) == {Outcome.STARTED: 10}
    by_time = [get(f"at {minute}") for minute in range(10)]
    own = [each for each in by_time if each.due_shard not in delegated]
    theirs = [each for each in by_time if each.due_shard in delegated]
    assert own
    assert theirs
    assert bench.sent_jobs == [each.last_job_id for each in (*own, *theirs[::-1])]


def test_what_can_t_be_shared_is_started_here(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recurring, "_MAX_WITHOUT_HELP", 3)
    for number in range(8):
        put(f"hourly {number}")
    go_to(NOON)

    def delegate(shard: str) -> None:
        raise ClientError({"Error": {"Code": "TooManyRequestsException"}}, "Invoke")

    assert look(bench, delegate=delegate, threads=2) == {Outcome.STARTED: 8}


def test_who_helps_looks_at_its_shard_alone(bench: Bench, counted: Counter[str]) -> None:
    puts = [put(f"hourly {number}") for number in range(8)]
    go_to(NOON)
    limits.current()  # which a process reads once in ten seconds
    counted.clear()
    mine = sum(schedule.due_shard == "schedules-0" for schedule in puts)
    assert 0 < mine < 8
    assert look(bench, shards=["schedules-0"]) == {Outcome.STARTED: mine}
    assert counted["Query"] == 1


def test_the_function_that_helps_does_no_tick(bench: Bench, lines: io.StringIO) -> None:
    """Each would find many that are due, and have still more processes help."""
    puts = [put(f"hourly {number}") for number in range(8)]
    go_to(NOON)
    job_runners.handlers.timer.handler({"start_occurrences_of": "schedules-0"}, Context())  # type: ignore[arg-type]
    said = [line["message"] for line in logged(lines)]
    assert said.count("occurrence started") == sum(put.due_shard == "schedules-0" for put in puts)
    assert "tick" not in said


def test_few_are_started_by_the_tick_alone(bench: Bench) -> None:
    for number in range(8):
        put(f"hourly {number}")
    go_to(NOON)
    assert look(bench, delegate=pytest.fail) == {Outcome.STARTED: 8}


def test_nobody_is_asked_to_look_where_nothing_is_due(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recurring, "_MAX_WITHOUT_HELP", 1)
    monkeypatch.setattr("job_runners.store.schedule.SHARDS", 16)
    shards = {put(f"hourly {number}").due_shard for number in range(4)}
    go_to(NOON)
    delegated: list[str] = []
    look(bench, delegate=delegated.append)
    assert len(delegated) == len(shards) - 1
    assert set(delegated) < shards


def test_where_there_is_one_process_it_starts_all(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, lines: io.StringIO
) -> None:
    monkeypatch.setattr(recurring, "_MAX_WITHOUT_HELP", 1)
    for number in range(8):
        put(f"hourly {number}")
    go_to(NOON)
    assert look(bench) == {Outcome.STARTED: 8}
    assert "crashed" not in lines.getvalue()


def test_a_shard_that_can_t_be_read_keeps_no_other_waiting(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    puts = [put(f"hourly {number}") for number in range(8)]
    go_to(NOON)
    due = store.due

    def throttled(shard: str, *given: Any) -> list[Schedule]:
        if shard == "schedules-0":
            raise ClientError({"Error": {"Code": "ThrottlingException"}}, "Query")
        return due(shard, *given)

    monkeypatch.setattr(store, "due", throttled)
    others = sum(schedule.due_shard != "schedules-0" for schedule in puts)
    assert look(bench) == {Outcome.STARTED: others}


def test_a_look_ends_when_its_time_is_over_and_the_next_goes_on(
    bench: Bench, counted: Counter[str]
) -> None:
    for number in range(4):
        put(f"hourly {number}")
    put("each", missed=Each(5), overlap="allow")
    go_to(NOON + 2 * HOUR)
    assert recurring.start_due(bench.send, until=clock.now()) == Counter()
    assert "BatchGetItem" not in counted

    def send(message: Any, delay: float = 0) -> None:
        Time.now += 10 * clock.SECOND

    counts = [recurring.start_due(send, until=clock.now() + 15_000) for _ in range(5)]
    assert [each[Outcome.STARTED] for each in counts] == [2, 2, 2, 1, 0]


# --- what it costs --------------------------------------------------------------------------------


def test_a_stack_without_schedules_pays_one_request_a_tick(
    bench: Bench, counted: Counter[str]
) -> None:
    assert look(bench) == Counter()
    assert counted == {"Query": 1}


def test_a_tick_reads_only_what_is_due(bench: Bench, counted: Counter[str]) -> None:
    for number in range(20):
        put(f"daily {number}", every=86_400)
    put()
    counted.clear()
    assert look(bench) == Counter()
    assert counted == {"Query": 1 + 2}  # whether there are any, and the shards
    counted.clear()
    go_to(NOON)
    assert look(bench) == {Outcome.STARTED: 1}
    # The fourth tells whether any limits were changed: once in ten seconds.
    assert counted == {"Query": 4, "BatchGetItem": 1, "TransactWriteItems": 1}


def test_an_occurrence_is_one_transaction_beside_its_reads(
    bench: Bench, counted: Counter[str]
) -> None:
    for number in range(10):
        put(f"hourly {number}")
    go_to(NOON)
    counted.clear()
    assert look(bench) == {Outcome.STARTED: 10}
    assert counted == {"Query": 4, "BatchGetItem": 1, "TransactWriteItems": 10}
    bench.deliver()
    go_to(NOON + HOUR)
    counted.clear()
    assert look(bench) == {Outcome.STARTED: 10}
    # The other read tells whether those before them have ended.
    assert counted == {"Query": 4, "BatchGetItem": 2, "TransactWriteItems": 10}


def test_nobody_asks_for_the_one_before_it_where_it_may_run_beside_it(
    bench: Bench, counted: Counter[str]
) -> None:
    put(overlap="allow")
    for hour in range(2):
        go_to(NOON + hour * HOUR)
        counted.clear()
        assert look(bench) == {Outcome.STARTED: 1}
        assert counted["BatchGetItem"] == 1


def test_an_occurrence_costs_eight_write_units(bench: Bench) -> None:
    """Four for its job, as in any transaction, and four for its schedule, with the index."""
    put(payload={"number": 3})
    units = Units()
    for hour in range(2):
        go_to(NOON + hour * HOUR)
        assert look(bench) == {Outcome.STARTED: 1}
        assert units.spent() == 8
        bench.deliver()
        assert 8 + units.spent() == 6 + more_units("is dispatched by a schedule")


def test_what_runs_an_occurrence_is_as_for_any_job(bench: Bench) -> None:
    seen: list[str] = []
    script.job = lambda job, payload: seen.append(job.id)
    put()
    go_to(NOON)
    look(bench)
    bench.deliver()
    assert seen == [get().job_id(NOON)]
    assert bench.read(get().job_id(NOON)).status is Status.SUCCEEDED
