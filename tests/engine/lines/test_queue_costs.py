"""What limits cost, counted at the boundary: write units, and requests of a pass and of a look."""

from typing import Any

import pytest

from bench import Bench
from counted_units import Units
from job_runners import clock
from job_runners.aws import clients
from job_runners.engine.lines import admission
from job_runners.store import limits, lines, pauses, transitions
from job_runners.store.job_request import JobRequest, Lane, Status, due_shard
from job_runners.store.rate import Rate
from sample_work import script
from scale_page import more_units


@pytest.fixture
def units(bench: Bench) -> Units:
    return Units()


def a_life(bench: Bench, queue: str, units: Units) -> int:
    """Return the write units of a job from its dispatch to its end."""
    limits.current()
    pauses.current()
    units.spent()
    row = bench.dispatch("sample_once", queue_name=queue)
    assert bench.run(row).status is Status.SUCCEEDED
    return units.spent()


def warm(bench: Bench, queue: str, units: Units) -> None:
    """Use a line once on this day: the first use costs a unit more, and its items are made."""
    bench.run(bench.dispatch("sample_once", queue_name=queue))
    units.spent()


def test_a_job_of_a_queue_without_limits_costs_six_as_ever(bench: Bench, units: Units) -> None:
    limits.put("another", slots=1)
    assert a_life(bench, "free", units) == 6


@pytest.mark.parametrize(
    ("limited", "more"),
    [
        ({"slots": 2}, 6),
        ({"slots": 2, "rate": Rate(1000)}, 8),
        ({"rate": Rate(1000)}, 3),
    ],
    ids=["slots", "both", "rate"],
)
def test_a_job_that_need_not_wait_costs_this_many_more(
    bench: Bench, units: Units, limited: dict[str, Any], more: int
) -> None:
    limits.put("a", **limited)
    warm(bench, "a", units)
    bench.advance(1)
    assert a_life(bench, "a", units) == 6 + more


def test_a_claim_that_moves_the_due_time_of_a_limited_job_does_so_in_the_same_write(
    bench: Bench, units: Units
) -> None:
    """A second one might fail, and nobody would look for hours at a slot that its worker lost."""
    limits.put("a", slots=2)
    warm(bench, "a", units)
    row = bench.dispatch("sample_once", queue_name="a")
    bench.advance(181)  # the timer should have seen it long since
    updates: list[str] = []
    clients.client("dynamodb").meta.events.register(
        "before-call.dynamodb.UpdateItem", lambda **_: updates.append("update")
    )
    seen: list[JobRequest] = []
    script.job = lambda job, payload: seen.append(bench.read(row))
    bench.run(row)
    (running,) = seen
    assert running.due_at == running.lease_until
    assert running.due_shard == due_shard(row.id, Lane.PROMPT)
    assert updates == []


def test_the_first_use_of_a_key_on_a_day_costs_one_more(bench: Bench, units: Units) -> None:
    limits.put("a", slots=2)
    assert a_life(bench, "a", units) == 6 + 6 + 1


@pytest.mark.parametrize(("rate", "more"), [(None, 17), (Rate(1000), 20)], ids=["slots", "both"])
def test_a_job_that_waits_for_a_slot_costs_this_many_more(
    bench: Bench, units: Units, rate: Rate | None, more: int
) -> None:
    limits.put("a", slots=1, rate=rate)
    warm(bench, "a", units)
    first = bench.dispatch("sample_once", queue_name="a")
    second: list[JobRequest] = []
    spent: list[int] = []

    def work(job: Any, payload: object) -> None:
        if job.id == first.id:
            units.spent()
            second.append(bench.dispatch("sample_once", queue_name="a"))
            bench.run(second[0])
            spent.append(units.spent())

    script.job = work
    bench.run(first)
    ending = 2 * 2 + 1  # of the first: its row and its slot in a transaction, and the due index
    spent.append(units.spent() - ending)
    bench.run(second[0])
    spent.append(units.spent())
    assert sum(spent) == 6 + more
    limited = "slots" if rate is None else "both"
    assert more_units(f"is in a queue with {limited}", waits=True) == more


def test_an_invocation_that_ends_keeps_its_slot_and_costs_no_look_at_the_line(bench: Bench) -> None:
    def work(job: Any, payload: object) -> None:
        job.checkpoint(1)
        bench.advance(880)
        calls.clear()
        job.checkpoint(2)

    limits.put("a", slots=1)
    calls: list[str] = []
    clients.client("dynamodb").meta.events.register(
        "before-call.dynamodb", lambda model, **_: calls.append(model.name)
    )
    script.job = work
    row = bench.run(bench.dispatch("sample_once", queue_name="a"))
    assert (row.status, row.slot) == (Status.QUEUED, 1)
    assert calls == ["UpdateItem", "GetItem"]  # which is our own


@pytest.mark.parametrize(
    ("limited", "at_once", "held"),
    [
        ({"slots": 1}, 4, 8),
        ({"slots": 1, "rate": Rate(1000)}, 6, 11),
        ({"rate": Rate(1000)}, 2, 7),
    ],
    ids=["slots", "both", "rate"],
)
def test_a_start_takes_so_many_of_the_1000_units_that_a_line_has_each_second(
    bench: Bench, units: Units, limited: dict[str, Any], at_once: int, held: int
) -> None:
    """From which docs/build/queues.md calculates how many jobs a line can start in a second."""
    limits.put("a", **limited)
    warm(bench, "a", units)
    units.of_lines = 0
    bench.advance(1)
    bench.run(bench.dispatch("sample_once", queue_name="a"))
    assert units.of_lines == at_once
    row = bench.dispatch("sample_once", queue_name="a")
    transitions.hold_in_line(row, "line#a#*", "*", group="", due_at=clock.now() + clock.DAY)
    bench.advance(1)
    admission.admit_waiting("a", "*", bench.send)
    bench.deliver()
    assert bench.read(row).status is Status.SUCCEEDED
    assert units.of_lines == at_once + held


def test_a_job_that_waits_for_its_rate_costs_15_more_and_its_wake_up_one(
    bench: Bench, units: Units
) -> None:
    limits.put("a", rate=Rate(1, seconds=100))
    warm(bench, "a", units)
    row = bench.dispatch("sample_once", queue_name="a")
    assert bench.run(row).status is Status.WAITING
    bench.advance(100)
    admission.admit_waiting("a", "*", bench.send)
    assert bench.run(row).status is Status.SUCCEEDED
    assert units.spent() == 6 + more_units("is in a queue with a rate", waits=True) + 1


def test_a_wake_up_costs_three_more_where_another_waits_behind(bench: Bench, units: Units) -> None:
    """It is due then, in case the wake-up does not come."""
    limits.put("a", rate=Rate(1, seconds=100))
    warm(bench, "a", units)
    rows = [bench.dispatch("sample_once", queue_name="a") for _ in range(2)]
    for row in rows:
        bench.advance(0.01)
        assert bench.run(row).status is Status.WAITING
    for row in rows:
        bench.advance(100)
        admission.admit_waiting("a", "*", bench.send)
        assert bench.run(row).status is Status.SUCCEEDED
    assert units.spent() == 2 * (6 + 15 + 1) + 3


def test_each_more_that_one_wake_up_admits_costs_no_other_and_no_mark(
    still: Bench, units: Units
) -> None:
    limits.put("a", rate=Rate(1))
    spent = []
    for many in (2, 4):
        still.advance(10)
        warm(still, "a", units)
        for _ in range(many):
            still.run(still.dispatch("sample_once", queue_name="a"))
        ((message, delay),) = still.sent
        still.sent.clear()
        still.advance(delay)
        units.spent()
        still.run_message(message)
        assert len(still.sent) == many
        still.sent.clear()
        spent.append(units.spent())
    assert spent == [2 * 8 + 2, 4 * 8 + 2]  # row, entry and rate; and once the mark


def test_who_holds_while_a_line_is_paced_writes_of_no_other(
    still: Bench, units: Units, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits.put("a", rate=Rate(1))
    warm(still, "a", units)
    for _ in range(2):
        still.run(still.dispatch("sample_once", queue_name="a"))
    ((message, delay),) = still.sent
    still.advance(delay)
    spent: list[int] = []

    def hold(seconds: float) -> None:
        still.advance(seconds / 2)
        row = still.dispatch("sample_once", queue_name="a")
        units.spent()
        if len(spent) < 2:
            assert still.run(row).status is Status.WAITING
            spent.append(units.spent())
        still.advance(seconds / 2)

    monkeypatch.setattr(clock, "sleep", hold)
    still.run_message(message)
    assert spent == [6, 6]  # its row and its entry


def test_a_look_of_the_timer_at_a_job_that_waits_costs_three(bench: Bench, units: Units) -> None:
    limits.put("a", slots=1)
    warm(bench, "a", units)
    held, row = (bench.dispatch("sample_once", queue_name="a") for _ in range(2))
    grant = lines.read_line("a", "*", limits.Limits(slots=1)).grant("")
    transitions.claim(
        held.id,
        job_type=held.job_type,
        send_id="s",
        deadline=clock.now() + clock.DAY,
        entrance=transitions.Entrance(held, "*", grant),
    )
    assert bench.run(row).status is Status.WAITING
    bench.advance(61)
    bench.tick()  # at the row that runs
    bench.advance(3601)
    units.spent()
    bench.tick()
    assert bench.read(row).status is Status.WAITING
    assert units.spent() == 3


def test_what_a_pass_asks_for_does_not_grow_with_the_number_that_wait(
    bench: Bench, units: Units
) -> None:
    limits.put("a", slots=1)
    asked = []
    for many in (3, 60):
        for _ in range(many):
            row = bench.dispatch("sample_once", queue_name="a")
            later = clock.now() + clock.DAY
            transitions.hold_in_line(row, "line#a#*", "*", group="", due_at=later)
        limits.current(), pauses.current()  # which a process reads once in 10 s
        units.reads = 0
        admission.admit_waiting("a", "*", bench.send)
        asked.append(units.reads)
        bench.deliver()
    assert asked[0] == asked[1]
