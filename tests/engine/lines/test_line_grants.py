"""What a decision gives: the lowest free slot within the number in force, and what it has read."""

from collections.abc import Callable
from typing import Any

import pytest
from pynamodb.exceptions import DeleteError, UpdateError

from bench import Bench
from job_runners import clock
from job_runners.aws import clients
from job_runners.store import limits, lines, transitions
from job_runners.store.job_request import JobRequest
from job_runners.store.line_items import LineItem
from job_runners.store.rate import Rate
from job_runners.store.transactions import RaceLost
from limited_queue import PLACE, QUEUE
from outage import Outage


def slot(number: int, **fields: Any) -> LineItem:
    return LineItem(PLACE, f"slot#{number:03d}", **fields)


@pytest.mark.parametrize(
    ("held", "in_force", "given"),
    [
        ((), 3, 1),
        ((1,), 3, 2),
        ((1,), 2, 2),
        ((2,), 2, 1),
        ((3,), 2, 1),
        ((2,), 1, None),
        ((2, 3), 2, None),
    ],
)
def test_the_lowest_free_slot_is_given_and_those_above_it_are_counted(
    held: tuple[int, ...], in_force: int, given: int | None
) -> None:
    slots = {number: slot(number, holder="h") for number in held}
    grant = lines.Line(PLACE, limits.Limits(slots=in_force), slots).grant("")
    assert (grant and grant.slot and grant.slot.number) == given
    assert (grant is None) == (given is None)


def claim(row: JobRequest, line: lines.Line) -> JobRequest:
    return transitions.claim(
        row.id,
        job_type=row.job_type,
        send_id="s",
        deadline=clock.now() + clock.MINUTE,
        entrance=transitions.Entrance(row, "*", line.grant("")),
    ).after


def read_line(**limited: Any) -> lines.Line:
    return lines.read_line(QUEUE, "*", limits.Limits(**limited))


@pytest.mark.parametrize("before", [0, 1])
@pytest.mark.parametrize("limited", [{"slots": 1}, {"rate": Rate(1000, burst=1000)}])
def test_what_was_given_since_it_was_read_is_not_given_again(
    bench: Bench, limited: dict[str, Any], before: int
) -> None:
    """Though it is free again: who decides by a line as it was then may overrun its number."""
    limits.put(QUEUE, **limited)
    rows = [bench.dispatch(queue_name=QUEUE) for _ in range(before + 2)]
    for row in rows[2:]:
        transitions.succeed(claim(row, read_line(**limited)), None)
    line = read_line(**limited)
    transitions.succeed(claim(rows[0], line), None)
    with pytest.raises(RaceLost):
        claim(rows[1], line)


@pytest.mark.parametrize(
    ("slots", "served"),
    [
        ({1: (7, 100, "b"), 2: (8, 200, "a")}, "a"),
        ({1: (8, 100, "b"), 2: (7, 200, "a")}, "b"),  # clocks differ, and turns tell
        ({1: (8, 100, "b"), 2: (8, 200, "a")}, "a"),  # both decided by the line as it was before
        ({1: (8, 100, None)}, ""),  # its organization was erased
        ({}, ""),
    ],
)
def test_the_organisation_that_was_served_last_is_that_of_the_last_turn(
    slots: dict[int, tuple[int, int, str | None]], served: str
) -> None:
    found = {
        number: slot(number, turn=turn, since=since, group=group)
        for number, (turn, since, group) in slots.items()
    }
    assert lines.Line(PLACE, limits.Limits(slots=2), found).last_served == served


def test_a_turn_is_above_those_of_all_items_whichever_is_given(bench: Bench) -> None:
    """Else a slot that was given rarely would make its organisation look as if served long ago."""
    limited: dict[str, Any] = {"slots": 2, "rate": Rate(1000, burst=1000)}
    for _ in range(3):  # each takes slot 1
        transitions.succeed(claim(bench.dispatch(queue_name=QUEUE), read_line(**limited)), None)
    claim(bench.dispatch(queue_name=QUEUE), read_line(**limited))
    claim(bench.dispatch(queue_name=QUEUE), read_line(slots=2))  # takes slot 2
    line = read_line(**limited)
    assert line.rate is not None
    assert [item.turn for item in (line.slots[1], line.rate, line.slots[2])] == [4, 4, 5]


@pytest.mark.parametrize(("starts_in", "starts"), [(-1, True), (500, False)])
def test_a_job_is_admitted_up_to_a_second_before_it_may_start(
    still: Bench, starts_in: int, starts: bool
) -> None:
    now = clock.now()
    rate = LineItem(PLACE, "rate", since=now, started_at=now)
    rate.started_tat = (now + starts_in) * 1000
    line = lines.Line(PLACE, limits.Limits(rate=Rate(1, seconds=10)), {}, rate)
    assert line.grant("", starts=False) is not None
    assert (line.grant("") is not None) is starts


@pytest.mark.parametrize(
    ("holder", "paid_ahead", "waits"),
    [(None, 9_000, True), ("h", 9_000, False), ("h", 0, False), (None, 0, False)],
)
def test_the_rate_alone_keeps_the_next_from_starting_only_where_a_slot_is_free(
    holder: str | None, paid_ahead: int, waits: bool
) -> None:
    """Who ends admits the next where there is none: a wake-up would come for nobody."""
    now = clock.now()
    rate = LineItem(PLACE, "rate", since=now, tat=(now + paid_ahead) * 1000)
    limited = limits.Limits(slots=1, rate=Rate(1, seconds=10))
    line = lines.Line(PLACE, limited, {1: slot(1, holder=holder)}, rate)
    assert line.waits_for_rate is waits


def test_a_line_is_read_by_one_request_however_many_slots_it_has(bench: Bench) -> None:
    limited = {"slots": 4, "rate": Rate(1000, burst=1000)}
    rows = [bench.dispatch(queue_name=QUEUE) for _ in range(5)]
    for row in rows[:4]:
        claim(row, read_line(**limited))
    transitions.hold_in_line(rows[4], PLACE, "*", group="", due_at=clock.now())
    asked: list[Any] = []
    events = clients.client("dynamodb").meta.events
    events.register("before-call.dynamodb.Query", lambda params, **_: asked.append(params))
    line = read_line(**limited)
    assert len(line.held_slots) == 4
    assert line.first is not None
    assert len(asked) == 1


# --- writes of one item ---------------------------------------------------------------------------


def test_a_slot_that_nobody_has_is_freed_once(bench: Bench) -> None:
    """Of two who find it so at once, one has freed it, and says so."""
    row = claim(bench.dispatch(queue_name=QUEUE), read_line(slots=1))
    found = [read_line(slots=1).held_slots for _ in range(2)]
    assert [each.holder for (each,) in found] == [row.id, row.id]
    assert [lines.free_slot(each) for (each,) in found] == [True, False]
    assert read_line(slots=1).held_slots == []


def test_a_slot_that_its_holder_has_been_given_anew_is_not_freed(bench: Bench) -> None:
    row = claim(bench.dispatch(queue_name=QUEUE), read_line(slots=1))
    (held,) = read_line(slots=1).held_slots
    again = transitions.retry(row, {"kind": "E"}, run_at=clock.now(), due_at=clock.now()).after
    claim(again, read_line(slots=1))
    assert lines.free_slot(held) is False
    assert [each.holder for each in read_line(slots=1).held_slots] == [row.id]


def paid(bench: Bench) -> lines.Line:
    """Return a line whose rate was paid for once."""
    rate = {"rate": Rate(1, seconds=100)}
    claim(bench.dispatch(queue_name=QUEUE), read_line(**rate))
    return read_line(**rate)


def test_of_two_who_mark_a_line_at_once_one_has(bench: Bench) -> None:
    """Each who has sends a wake-up."""
    line = paid(bench)
    others = read_line(rate=Rate(1, seconds=100))
    assert (lines.mark_wake_up(line, 1), lines.mark_wake_up(others, 2)) == (True, False)
    assert lines.unmark_wake_up(line.partition_key, 2) is False  # it is not its own
    bench.advance(100)
    claim(bench.dispatch(queue_name=QUEUE), read_line(rate=Rate(1, seconds=100)))
    assert lines.mark_wake_up(line, 3) is False  # somebody was given a start


def test_an_entry_that_was_put_back_is_not_dropped_by_who_has_read_the_one_before(
    bench: Bench,
) -> None:
    later = clock.now() + clock.HOUR
    row = bench.dispatch(queue_name=QUEUE)
    waits = transitions.hold_in_line(row, PLACE, "*", group="", due_at=later).after
    entry = read_line().first
    assert entry is not None
    lines.drop_entry(entry)
    assert read_line().first is None
    transitions.restore_entry(waits, due_at=later + 1)
    lines.drop_entry(entry)
    assert read_line().first is not None


def free(line: lines.Line) -> None:
    lines.free_slot(slot(1, holder="h", turn=1))


def mark(line: lines.Line) -> None:
    lines.mark_wake_up(line, 1)


def unmark(line: lines.Line) -> None:
    lines.unmark_wake_up(line.partition_key, 1)


def drop(line: lines.Line) -> None:
    lines.drop_entry(LineItem(line.partition_key, "wait##1", version="v"))


@pytest.mark.parametrize("write", [free, mark, unmark, drop])
def test_what_aws_refuses_is_not_taken_for_somebody_elses_write(
    bench: Bench, outage: Outage, write: Callable[[lines.Line], None]
) -> None:
    line = paid(bench)
    outage.begin("broken")
    with pytest.raises((UpdateError, DeleteError)):
        write(line)
