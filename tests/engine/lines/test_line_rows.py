"""Rows in lines that no worker starts, that code of another version has written, or that can't be
read at all: they end, keep nobody waiting, and take no slot that is another's."""

from collections.abc import Callable
from typing import Any, cast

import pytest

from bench import Bench
from job_rows import make_unreadable
from job_runners import clock
from job_runners.engine.registry.registry import registry
from job_runners.engine.tick import due_row
from job_runners.store import limits, lines, transitions
from job_runners.store.job_request import ROW_VERSION, JobRequest, Lane, Status
from job_runners.testing import moto_direct
from job_runners.work.definitions import Job
from limited_queue import QUEUE, dispatch, during, hold_in_order
from sample_work import script
from telemetry_lines import emitted


def hours(bench: Bench, number: int) -> None:
    """So many hours in which every message is lost, with a tick each half."""
    for _ in range(number * 2):
        bench.sent.clear()
        bench.advance(1800)
        bench.tick()


def holder() -> str | None:
    (slot,) = [it for it in moto_direct.rows("coordination") if it["sk"] == "slot#001"]
    return slot.get("holder")


# --- that no worker starts ------------------------------------------------------------------------


@pytest.fixture
def three_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have jobs start within three hours, instead of a day."""
    monkeypatch.setattr(due_row, "_start_within", lambda row: 3 * 3600.0)


@pytest.mark.usefixtures("three_hours")
def test_a_job_that_is_admitted_again_and_again_fails_as_never_started(one_slot: Bench) -> None:
    row, other = dispatch(one_slot), dispatch(one_slot)
    during(one_slot, lambda: hold_in_order(one_slot, row, other))
    hours(one_slot, 4)
    assert not one_slot.read(row).status.finished
    hours(one_slot, 5)  # they take turns, an hour each
    ended = [one_slot.read(each) for each in (row, other)]
    assert [each.error["kind"] for each in ended] == ["NeverStarted"] * 2
    assert holder() is None


def test_one_that_is_admitted_and_never_started_gives_its_slot_to_the_next_as_it_fails(
    one_slot: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due_row, "_start_within", lambda row: 600.0)
    row, other = dispatch(one_slot), dispatch(one_slot)
    during(one_slot, lambda: hold_in_order(one_slot, row, other))
    one_slot.advance(700)
    one_slot.tick()
    assert one_slot.read(row).error["kind"] == "NeverStarted"
    assert holder() == other.id


@pytest.mark.parametrize("is_first", [True, False])
def test_a_slot_that_the_timer_frees_goes_to_the_next_job_in_the_same_run(
    one_slot: Bench, is_first: bool
) -> None:
    """The run looks at the waiting job before or after the job that was never started."""
    never_started, waiting = dispatch(one_slot), dispatch(one_slot)
    during(one_slot, lambda: hold_in_order(one_slot, never_started, waiting))
    assert holder() == never_started.id
    due_at = (one_slot.read(waiting).due_at or 0) + (-1 if is_first else 1) * clock.SECOND
    transitions.postpone(one_slot.read(never_started), due_at, Lane.HELD)
    one_slot.advance(3700)
    one_slot.tick()
    assert holder() == waiting.id


@pytest.mark.usefixtures("three_hours")
def test_the_time_in_its_line_is_not_counted_against_its_start(one_slot: Bench) -> None:
    row = dispatch(one_slot)
    one_slot.advance(600)

    def work(job: Any, payload: object) -> None:
        if job.id != row.id:
            assert one_slot.run(row).status is Status.WAITING
            one_slot.advance(26 * 3600)

    script.job = work
    one_slot.run(dispatch(one_slot), seconds=27 * 3600)
    admitted = one_slot.read(row)
    assert 600_000 <= clock.now() - admitted.could_run_at < 601_000
    hours(one_slot, 2)
    assert not one_slot.read(row).status.finished
    hours(one_slot, 2)
    assert one_slot.read(row).error["kind"] == "NeverStarted"


def test_a_job_whose_type_is_gone_keeps_its_slot_for_an_hour_and_ends_in_a_month(
    one_slot: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, other = dispatch(one_slot), dispatch(one_slot, job_type="sample_once")
    grant = lines.read_line(QUEUE, "*", limits.Limits(slots=1)).grant("")
    claimed = transitions.claim(
        begun.id,
        job_type=begun.job_type,
        send_id="s",
        deadline=clock.now() + clock.MINUTE,
        entrance=transitions.Entrance(begun, "*", grant),
    ).after
    transitions.end_invocation(claimed, transitions.Checkpoint(1, 1, None))
    assert one_slot.run(other).status is Status.WAITING
    monkeypatch.delitem(cast(dict[str, Job], registry().jobs), begun.job_type)
    for _ in range(7):  # its checks grow further apart, up to an hour
        one_slot.advance(600)
        one_slot.tick()
    assert holder() == other.id
    assert one_slot.run(other).status is Status.SUCCEEDED
    for _ in range(31):
        one_slot.advance(24 * 3600)
        one_slot.tick()
    assert one_slot.read(begun).error["kind"] == "JobTypeRemoved"


def test_a_job_that_was_admitted_is_sent_again_though_its_queue_has_no_limits_any_more(
    one_slot: Bench,
) -> None:
    row = dispatch(one_slot)
    during(one_slot, lambda: hold_in_order(one_slot, row))
    limits.reset(QUEUE)
    hours(one_slot, 2)
    assert one_slot.sent_jobs == [row.id]
    one_slot.deliver()
    assert one_slot.read(row).status is Status.SUCCEEDED


# --- of newer code, or that can't be read ---------------------------------------------------------


def newer(row: JobRequest) -> None:
    JobRequest(id=row.id).update([JobRequest.row_version.set(ROW_VERSION + 1)])


def of_unreadable_invocations(row: JobRequest) -> None:
    make_unreadable(row, "invocations")


def put_right(row: JobRequest) -> None:
    JobRequest(id=row.id).update(
        [
            JobRequest.row_version.set(row.row_version),
            JobRequest.invocations.set(row.invocations),
            JobRequest.status.set(Status.WAITING),
        ]
    )


@pytest.mark.parametrize("spoil", [newer, of_unreadable_invocations, make_unreadable])
@pytest.mark.usefixtures("on_lambda")
def test_a_row_that_can_not_be_dealt_with_keeps_nobody_behind_it_waiting(
    bench: Bench, spoil: Callable[[JobRequest], None], capsys: pytest.CaptureFixture[str]
) -> None:
    limits.put(QUEUE, slots=1)
    bad, good = dispatch(bench), dispatch(bench)

    def work(job: Any, payload: object) -> None:
        if job.id in (bad.id, good.id):
            return
        for row in (bad, good):
            bench.advance(1)
            assert bench.run(row).status is Status.WAITING
        spoil(bad)

    script.job = work
    bench.run(dispatch(bench))
    assert ({"Quarantined": 1} in [values for _, values in emitted(capsys)], holder()) == (
        True,
        good.id,
    )
    bench.deliver()
    assert bench.read(good).status is Status.SUCCEEDED
    put_right(bad)
    for _ in range(3):
        bench.advance(1800)
        bench.tick()
    bench.deliver()
    assert bench.read(bad).status is Status.SUCCEEDED
    assert holder() is None


def test_a_job_that_was_set_aside_a_moment_ago_is_put_back(one_slot: Bench) -> None:
    """During a deploy, the code before quarantines it just before the new code's timer looks."""
    first, waiting = dispatch(one_slot), dispatch(one_slot)
    during(one_slot, lambda: hold_in_order(one_slot, first, waiting))
    transitions.postpone(one_slot.read(waiting), clock.now() + clock.SECOND, Lane.HELD)
    one_slot.advance(5)
    entry = lines.read_line(QUEUE, "*", None).first
    assert entry is not None
    lines.drop_entry(entry)
    one_slot.tick()
    restored = lines.read_line(QUEUE, "*", None).first
    assert restored is not None
    assert restored.job_id == waiting.id


@pytest.mark.usefixtures("on_lambda")
def test_one_of_newer_code_that_was_set_aside_is_left_to_that(
    one_slot: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    """Put back in the line, it would be quarantined each hour, and ring an alarm."""
    row = dispatch(one_slot)

    def hold() -> None:
        hold_in_order(one_slot, row)
        newer(row)

    during(one_slot, hold)
    assert {"Quarantined": 1} in [values for _, values in emitted(capsys)]
    hours(one_slot, 3)
    assert {"Quarantined": 1} not in [values for _, values in emitted(capsys)]
    assert one_slot.read(row).status is Status.WAITING


def test_one_of_newer_code_that_was_set_aside_is_looked_at_in_an_hour(one_slot: Bench) -> None:
    """It has waited for long, and would be looked at in half a day: newer code puts it back."""
    row = dispatch(one_slot)

    def wait_and_change() -> None:
        hold_in_order(one_slot, row)
        transitions.postpone(one_slot.read(row), clock.now() + 12 * clock.HOUR, Lane.HELD)
        newer(row)

    during(one_slot, wait_and_change)
    assert lines.read_line(QUEUE, "*", None).first is None
    assert one_slot.read(row).due_at == pytest.approx(clock.now() + clock.HOUR, abs=clock.MINUTE)


def test_one_of_newer_code_that_was_admitted_keeps_its_slot(one_slot: Bench) -> None:
    """What else its row means, this code does not know: it may not hold it."""
    row = dispatch(one_slot)
    during(one_slot, lambda: hold_in_order(one_slot, row))
    newer(row)
    hours(one_slot, 3)
    assert (one_slot.read(row).status, holder()) == (Status.QUEUED, row.id)


def test_a_pass_sets_few_aside_and_goes_on_in_a_minute(one_slot: Bench) -> None:
    rows = [dispatch(one_slot) for _ in range(12)]
    good = dispatch(one_slot)
    during = [*rows, good]

    def work(job: Any, payload: object) -> None:
        if job.id in {row.id for row in during}:
            return
        for row in during:
            one_slot.advance(1)
            one_slot.run(row)
        for row in rows:
            of_unreadable_invocations(row)

    script.job = work
    one_slot.run(dispatch(one_slot))
    ((message, delay),) = one_slot.sent
    assert (message.id, delay) == ("texts#*", 60)
    one_slot.deliver()
    assert one_slot.read(good).status is Status.SUCCEEDED
