"""What may be lost or late in a line: an answer, a message, a look, and the note of its key."""

from typing import Any

import pytest
from botocore.exceptions import ConnectTimeoutError
from pynamodb.exceptions import TransactWriteError

from bench import Bench
from job_runners import clock
from job_runners.engine.control import caller_actions
from job_runners.engine.lines import pausing
from job_runners.engine.tick import due_row
from job_runners.errors import NeverStarted
from job_runners.store import limits, lines, pauses, transitions, used_keys
from job_runners.store.conditional_write import Change
from job_runners.store.job_request import JobRequest, Status
from job_runners.store.line_items import LineItem
from job_runners.store.pauses import Kind
from limited_queue import QUEUE, dispatch, wake_ups
from outage import Outage
from sample_work import script


def take_slot(row: JobRequest) -> JobRequest:
    """Return a job after an invocation of a minute has claimed it with the slot."""
    return transitions.claim(
        row.id,
        job_type=row.job_type,
        send_id="s",
        deadline=clock.now() + clock.MINUTE,
        entrance=transitions.Entrance(
            row, "*", lines.read_line(QUEUE, "*", limits.Limits(slots=1)).grant("")
        ),
    ).after


def test_a_sweep_of_a_queue_whose_limits_nobody_has_changed_comes_to_its_end(bench: Bench) -> None:
    limits.ask_for_sweep("sample_campaigns")
    bench.advance(121)
    bench.tick()
    assert "sample_campaigns" not in limits.current(fresh=True)


def test_a_resume_that_is_cut_off_has_asked_for_the_sweep(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked again, it would find no pause, and nobody would look at the queue's lines."""
    limits.put(QUEUE, slots=1)
    pausing.pause(Kind.QUEUE, QUEUE)

    def cut_off(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pausing, "admit_held", cut_off)
    with pytest.raises(KeyboardInterrupt):
        pausing.resume(Kind.QUEUE, QUEUE, bench.send)
    assert pauses.current(fresh=True).find(Kind.QUEUE, QUEUE) is None
    assert limits.current(fresh=True)[QUEUE].sweep_from == ""


def test_a_job_that_was_held_unheard_while_the_slot_came_free_is_admitted(
    bench: Bench, outage: Outage, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits.put(QUEUE, slots=1)
    first, second = dispatch(bench), dispatch(bench)
    new_entry = lines.new_entry

    def first_ends(*args: Any) -> Any:
        monkeypatch.setattr("job_runners.store.transitions.holding.new_entry", new_entry)
        entry = new_entry(*args)
        LineItem(f"line#{QUEUE}#*", "slot#001").update([LineItem.holder.remove()])
        outage.begin("unheard", 3, only="TransactWriteItems")
        return entry

    def work(job: Any, payload: object) -> None:
        monkeypatch.setattr("job_runners.store.transitions.holding.new_entry", first_ends)
        bench.run(second)

    script.job = work
    bench.run(first)
    outage.end()
    for message, _ in wake_ups(bench):
        bench.run_message(message)
    assert bench.read(second).status is Status.QUEUED
    assert bench.read(second).slot == 1


def test_a_job_whose_worker_never_hears_of_its_hold_is_admitted(
    bench: Bench, outage: Outage, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits.put(QUEUE, slots=1)
    script.job = lambda job, payload: 1 / 0
    row = bench.run(dispatch(bench))
    assert (row.status, row.concurrency_key) == (Status.RETRYABLE, "*")
    bench.advance(60)
    take_slot(dispatch(bench))
    hold = transitions.hold_in_line

    def unheard(*args: Any, **more: Any) -> Change:
        hold(*args, **more)
        LineItem(f"line#{QUEUE}#*", "slot#001").update([LineItem.holder.remove()])
        outage.begin("throttled", 860)
        return hold(*args, **more)

    monkeypatch.setattr(transitions, "hold_in_line", unheard)
    assert bench.run(row).slot == 1


def test_a_line_that_is_busy_day_and_night_stays_listed(bench: Bench) -> None:
    """The first of a day may be admitted by a pass, never by its own claim."""
    limits.put(QUEUE, slots=1)
    first, second = dispatch(bench), dispatch(bench)

    def work(job: Any, payload: object) -> None:
        if job.id == first.id:
            bench.run(second)
            used_keys.UsedKey(f"keys#{QUEUE}", "*").delete()  # by TTL: it was noted long ago
            bench.advance(clock.DAY / 1000)

    script.job = work
    bench.run(first)
    assert bench.sent_jobs[-1] == second.id
    assert used_keys.used_in_queue(QUEUE, 10) == ["*"]


def test_an_entry_that_can_not_be_dealt_with_keeps_no_outcome_from_being_recorded(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that makes a pass has done its own work: an error there is not its failure."""
    limits.put(QUEUE, slots=1)

    def broken(*_: object) -> None:
        raise ValueError("of newer code")

    monkeypatch.setattr(lines, "next_entry", broken)
    assert bench.run(dispatch(bench)).status is Status.SUCCEEDED
    assert wake_ups(bench) == []  # to try again would be of no use


@pytest.mark.parametrize("how", ["rescue", "expire", "cancel", "hold"])
def test_a_slot_that_was_freed_unheard_goes_to_the_next(
    bench: Bench, outage: Outage, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    limits.put(QUEUE, slots=1)
    row, waiting = dispatch(bench), dispatch(bench)
    claimed = take_slot(row)
    if how != "rescue":
        transitions.end_invocation(claimed, transitions.Checkpoint(1, 1, None))
    assert bench.run(waiting).status is Status.WAITING
    if how == "expire":
        monkeypatch.setattr(due_row, "_expiry_error", lambda *_: NeverStarted(1))
    if how == "hold":
        pausing.pause(Kind.JOB_TYPE, row.job_type)
    bench.advance(200)
    outage.begin("unheard", 1, only="TransactWriteItems")
    monkeypatch.setattr(outage, "calls", Heard(outage))
    if how == "cancel":
        with pytest.raises(TransactWriteError):
            caller_actions.cancel(bench.read(row), bench.send)
    else:
        bench.tick()
    assert bench.read(row).slot is None
    assert bench.read(waiting).slot == 1


def test_an_outcome_that_was_written_unheard_and_moved_on_admits_the_next(
    bench: Bench, outage: Outage, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits.put(QUEUE, slots=1)
    row, waiting = bench.dispatch(queue_name=QUEUE), dispatch(bench)

    def cancel(seconds: float) -> None:
        """Its owner does, before the worker tries once more."""
        if not bench.read(row).status.finished:
            caller_actions.cancel(bench.read(row), bench.send)

    def work(job: Any, payload: object) -> None:
        bench.run(waiting)
        outage.begin("unheard", only="TransactWriteItems")
        monkeypatch.setattr(outage, "calls", Heard(outage))
        monkeypatch.setattr(clock, "sleep", cancel)
        raise ValueError("no luck")

    script.job = work
    assert bench.run(row).status is Status.CANCELED
    assert bench.read(waiting).slot == 1


class Heard(list[str]):
    """Ends an outage with the first call that failed."""

    def __init__(self, outage: Outage) -> None:
        super().__init__()
        self._outage = outage

    def append(self, call: str) -> None:
        """Note the call."""
        super().append(call)
        self._outage.end()


def test_a_job_is_admitted_whose_hold_landed_unheard_at_an_earlier_try(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slot came free just before the hold, so nobody else looks at the line."""
    limits.put(QUEUE, slots=1)
    take_slot(dispatch(bench))
    row = dispatch(bench)
    hold = transitions.hold_in_line

    def unheard(*args: Any, **more: Any) -> Change:
        monkeypatch.setattr(transitions, "hold_in_line", hold)
        hold(*args, **more)
        LineItem(f"line#{QUEUE}#*", "slot#001").update([LineItem.holder.remove()])
        raise ConnectTimeoutError(endpoint_url="dynamodb")

    monkeypatch.setattr(transitions, "hold_in_line", unheard)
    assert bench.run(row).slot == 1
