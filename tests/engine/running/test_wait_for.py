"""A job that waits for signals: what it gets, when it continues, and what a wait costs."""

from collections.abc import Callable
from typing import Any

import pytest

from api_events import call
from bench import Bench
from counted_units import Units
from job_runners import clock
from job_runners.engine.control import caller_actions, positions, signaling
from job_runners.engine.errors import (
    SignalBusy,
    SignalConflict,
    SignalTooLarge,
    SignalTooLate,
    TooManySignals,
)
from job_runners.engine.lines import pausing
from job_runners.engine.wire.messages import JobMessage
from job_runners.errors import JobNotFound, PreconditionFailed
from job_runners.store import caller_transitions, signals
from job_runners.store.job_request import JobRequest, Lane, Status, due_shard
from job_runners.store.pauses import Kind
from job_runners.store.transitions import waits
from job_runners.testing import moto_direct
from job_runners.work import WaitTimedOut
from lost_answers import land_in_conflict, lose_next_answer
from sample_work import script

HOUR = 3600.0
DAY = 24 * HOUR


def waits_for(name: str = "approval", timeout: float = DAY) -> tuple[Callable[..., Any], list[Any]]:
    """Return work that waits for a signal, and the list of what its invocations got."""
    got: list[Any] = []

    def work(job: Any, payload: object) -> Any:
        job.checkpoint(7, progress=50)
        try:
            got.append(job.wait_for(name, timeout=timeout))
        except WaitTimedOut as error:
            got.append(error)
        return {"got": str(got[-1])}

    return work, got


def waiting(bench: Bench, **wait: Any) -> tuple[Any, list[Any]]:
    """Return the row of a job that waits for a signal, and the list of what its invocations got."""
    script.job, got = waits_for(**wait)
    row = bench.run(bench.dispatch("sample_once"))
    assert row.status is Status.WAITING
    return row, got


def signal_before_the_hold(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Send the signal after the job has looked for it, and before it holds."""
    hold = waits.wait

    def signaled_before(job: Any, *arguments: Any, **more: Any) -> Any:
        signaling.signal(bench.read(job), "approval", "now", bench.send)
        return hold(job, *arguments, **more)

    monkeypatch.setattr(waits, "wait", signaled_before)


def test_a_job_waits_without_a_worker_and_goes_on_with_the_signal(bench: Bench) -> None:
    row, got = waiting(bench)
    assert (row.progress, row.cursor, row.slot) == (50, 7, None)
    found = positions.wait_reason(row)
    assert found is not None
    assert (found.kind, found.name, found.names) == ("signal", "approval", ["approval"])
    assert found.until == row.due_at
    row = signaling.signal(row, "approval", {"ok": True}, bench.send)
    assert row.status is Status.QUEUED
    signaling.signal(row, "approval", {"ok": True}, bench.send)
    assert bench.deliver() == 1  # the same signal again needs no message
    assert (got, bench.read(row).status) == ([{"ok": True}], Status.SUCCEEDED)
    assert positions.wait_reason(bench.read(row)) is None


def test_a_signal_that_comes_before_the_wait_is_not_lost(bench: Bench) -> None:
    script.job, got = waits_for()
    row = bench.dispatch("sample_once")
    signaling.signal(row, "approval", 17, bench.send)
    assert bench.sent == []  # the message of its dispatch is under way
    row = bench.run(row)
    assert (got, row.status, row.invocations) == ([17], Status.SUCCEEDED, 1)


def test_a_signal_that_comes_while_the_job_is_about_to_wait_is_not_lost(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has looked for the signal, and not held yet: the transaction notices."""
    script.job, got = waits_for()
    row = bench.dispatch("sample_once")
    signal_before_the_hold(bench, monkeypatch)
    row = bench.run(row)
    assert (row.status, row.wait_count, row.counted_invocations) == (Status.QUEUED, 1, 0)
    bench.deliver()
    assert got == ["now"]


def test_a_job_with_a_signal_and_a_cancel_as_it_is_about_to_wait_is_canceled(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    script.job, got = waits_for()
    row = bench.dispatch("sample_once")
    proceed = waits.continue_at_once

    def canceled_before(job: Any, *arguments: Any) -> Any:
        caller_transitions.request_cancel(bench.read(job))
        return proceed(job, *arguments)

    signal_before_the_hold(bench, monkeypatch)
    monkeypatch.setattr(waits, "continue_at_once", canceled_before)
    assert bench.run(row).status is Status.CANCELED
    assert (bench.sent, got) == ([], [])


def test_a_signal_that_comes_between_the_senders_read_and_the_hold_admits_the_job(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    script.job, got = waits_for()
    row = bench.dispatch("sample_once")
    stale = bench.read(row)
    assert bench.run(row).status is Status.WAITING
    assert signaling.signal(stale, "approval", 1, bench.send).status is Status.QUEUED
    bench.deliver()
    assert got == [1]


_SINCE_IT_WAS_READ = {
    "created_key": JobRequest.created_key.set("of a later job with this id"),
    "restarts": JobRequest.restarts.set(1),
    "status": JobRequest.status.set(Status.QUEUED),
    "claim_token": JobRequest.claim_token.set("of a later run"),
    "held_by": JobRequest.held_by.set("pause#"),
    "signals": JobRequest.signals.set(signals.MAX_PER_JOB),
}


@pytest.mark.parametrize("changed", _SINCE_IT_WAS_READ)
def test_a_signal_for_a_row_that_has_changed_since_it_was_read_is_not_stored(
    bench: Bench, changed: str
) -> None:
    row, _ = waiting(bench)
    bench.read(row).update([_SINCE_IT_WAS_READ[changed]])
    before = bench.read(row).serialize()
    with pytest.raises(PreconditionFailed):
        waits.signal(row, signals.new(row, "approval", 1, by=None))
    assert bench.read(row).serialize() == before
    assert signals.find(row, "approval") is None


def test_a_signal_that_a_job_does_not_wait_for_leaves_it_waiting(bench: Bench) -> None:
    row, _ = waiting(bench)
    assert signaling.signal(row, "another", 1, bench.send).status is Status.WAITING
    assert bench.sent == []


def test_a_signal_for_a_job_that_was_read_while_it_ran_admits_it_after_the_hold(
    bench: Bench,
) -> None:
    """The claim is the same before and after the hold: only status and wait differ."""
    wait, got = waits_for()
    stale: list[Any] = []

    def work(job: Any, payload: object) -> Any:
        stale.append(bench.read(job.id))
        return wait(job, payload)

    script.job = work
    assert bench.run(bench.dispatch("sample_once")).status is Status.WAITING
    row = signaling.signal(stale[0], "approval", 1, bench.send)
    assert row.status is Status.QUEUED
    bench.deliver()
    assert got == [1]


def test_a_wait_with_its_signal_costs_14_write_units(still: Bench) -> None:
    units = Units()
    script.job = lambda job, payload: None
    still.run(still.dispatch("sample_once"))
    without = units.spent()
    script.job = lambda job, payload: job.wait_for("approval", timeout=600) and None
    row = still.run(still.dispatch("sample_once"))
    units.reads = 0
    row = signaling.signal(row, "approval", True, still.send)
    assert units.reads == 2  # one read: whether it has come before
    assert still.run(row).status is Status.SUCCEEDED
    assert units.spent() - without == 14


def test_a_signal_that_came_first_costs_4_write_units(still: Bench) -> None:
    units = Units()
    script.job = lambda job, payload: None
    still.run(still.dispatch("sample_once"))
    without = units.spent()
    script.job = lambda job, payload: job.wait_for("approval", timeout=600) and None
    row = signaling.signal(still.dispatch("sample_once"), "approval", True, still.send)
    assert still.run(row).status is Status.SUCCEEDED
    assert units.spent() - without == 4


def test_the_first_value_counts_even_after_the_end(bench: Bench) -> None:
    row, _ = waiting(bench)
    signaling.signal(row, "approval", {"a": 1, "b": [2]}, bench.send)
    bench.deliver()
    for each in (row, bench.read(row)):
        assert signaling.signal(each, "approval", {"b": [2], "a": 1}, bench.send).id == row.id
        with pytest.raises(SignalConflict):
            signaling.signal(each, "approval", {"a": 2}, bench.send)
    with pytest.raises(SignalTooLate, match="is succeeded"):
        signaling.signal(bench.read(row), "another", 1, bench.send)


def test_a_signal_whose_answer_is_lost_sends_no_message_about_a_running_job(bench: Bench) -> None:
    wait, got = waits_for()

    def work(job: Any, payload: object) -> Any:
        lost = lose_next_answer("TransactWriteItems")
        signaling.signal(bench.read(job.id), "approval", 1, bench.send)
        assert lost
        return wait(job, payload)

    script.job = work
    bench.run(bench.dispatch("sample_once"))
    assert (bench.sent, got) == ([], [1])


def test_a_signal_whose_answer_is_lost_continues_the_job_at_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    row, got = waiting(bench)
    land_in_conflict(monkeypatch, 3)
    signaling.signal(row, "approval", 1, bench.send)
    bench.deliver()
    assert got == [1]


@pytest.mark.parametrize("is_waiting", [True, False])
def test_of_two_answers_at_once_the_first_counts(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, is_waiting: bool
) -> None:
    """The second sender has looked for the signal before the first one wrote it."""
    if is_waiting:
        row, got = waiting(bench)
    else:
        script.job, got = waits_for()
        row = bench.dispatch("sample_once")
    find, first = signals.find, [True]

    def answered_after(job: Any, name: str) -> Any:
        found = find(job, name)
        if first.pop() if first else False:
            signaling.signal(job, name, "yes", bench.send)
        return found

    monkeypatch.setattr(signals, "find", answered_after)
    with pytest.raises(SignalConflict):
        signaling.signal(row, "approval", "no", bench.send)
    bench.deliver() if is_waiting else bench.run(row)
    assert got == ["yes"]


def test_an_answer_for_work_with_an_earlier_payload_is_not_stored_for_the_next(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = caller_actions.cancel(waiting(bench)[0])
    row = caller_actions.retry_again(row, bench.send)
    check, first = signaling._refuse_if_not_accepted, [True]

    def restarted_after(job: Any, name: str) -> None:
        check(job, name)
        if first.pop() if first else False:
            caller_actions.retry_again(caller_actions.cancel(job), bench.send, {"number": 2})

    monkeypatch.setattr(signaling, "_refuse_if_not_accepted", restarted_after)
    changed = signaling.signal(row, "approval", "yes", bench.send)
    assert changed.restarts == 1
    assert [
        it["pk"] for it in moto_direct.rows("coordination") if it["pk"].startswith("signal#")
    ] == [f"signal#{row.created_key}/1"]


def test_a_wait_times_out_and_refuses_the_signal_from_then_on(bench: Bench) -> None:
    row, got = waiting(bench, timeout=HOUR)
    bench.advance(HOUR - 1)
    bench.tick()
    assert bench.read(row).status is Status.WAITING
    bench.advance(61)
    bench.tick()
    bench.deliver()
    assert [type(each) for each in got] == [WaitTimedOut]
    with pytest.raises(SignalTooLate, match="no longer waits"):
        signaling.signal(bench.read(row), "approval", 1, bench.send)


def test_a_job_that_does_not_handle_its_timeout_fails_for_good(bench: Bench) -> None:
    script.job = lambda job, payload: job.wait_for("approval", timeout=0)
    row = bench.run(bench.dispatch("sample_again"))
    assert (row.status, row.error["kind"]) == (Status.FAILED, "WaitTimedOut")


def test_a_signal_that_comes_as_the_time_is_over_is_what_the_job_gets(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    row, got = waiting(bench, timeout=HOUR)
    bench.advance(HOUR + 60)
    bench.tick()
    record = waits.record

    def signaled_before(job: Any, *arguments: Any) -> None:
        signaling.signal(bench.read(job), "approval", "late", bench.send)
        record(job, *arguments)

    monkeypatch.setattr(waits, "record", signaled_before)
    bench.deliver()
    assert (got, bench.read(row).status) == (["late"], Status.SUCCEEDED)


def test_an_invocation_that_was_overtaken_does_not_time_out(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    row, got = waiting(bench, timeout=HOUR)
    bench.advance(HOUR + 60)
    bench.tick()
    record = waits.record

    def canceled_before(job: Any, *arguments: Any) -> None:
        caller_transitions.request_cancel(bench.read(job))
        bench.advance(2000)
        bench.tick()
        record(job, *arguments)

    monkeypatch.setattr(waits, "record", canceled_before)
    bench.deliver()
    row = bench.read(row)
    assert (got, row.status) == ([], Status.CANCELED)
    assert signals.find(row, "approval") is None


def test_the_first_of_several_signals_is_recorded(bench: Bench) -> None:
    got: list[Any] = []

    def work(job: Any, payload: object) -> None:
        got.append(job.wait_for_any(["pay", "cancel"], timeout=DAY, label="order"))
        job.sleep("then", HOUR)

    script.job = work
    row = bench.run(bench.dispatch("sample_once"))
    found = positions.wait_reason(row)
    assert found is not None
    assert (found.name, found.names) == ("order", ["pay", "cancel"])
    row = bench.run(signaling.signal(row, "cancel", "too slow", bench.send))
    signaling.signal(row, "pay", 17, bench.send)
    bench.advance(HOUR + 61)
    bench.run(row)
    assert got == [("cancel", "too slow")] * 2
    assert bench.read(row).status is Status.SUCCEEDED


def test_a_signal_whose_own_wait_has_timed_out_is_none_of_several(bench: Bench) -> None:
    got: list[Any] = []

    def work(job: Any, payload: object) -> None:
        with pytest.raises(WaitTimedOut):
            job.wait_for("pay", timeout=0)
        with pytest.raises(WaitTimedOut):  # at once, because none can come
            job.wait_for_any(["pay"], timeout=HOUR, label="pay alone")
        got.append(job.wait_for_any(["pay", "cancel"], timeout=HOUR, label="order"))

    script.job = work
    row = bench.run(bench.dispatch("sample_once"))
    assert (row.current_wait["names"], got) == (["cancel"], [])
    signaling.signal(row, "cancel", 1, bench.send)
    bench.deliver()
    assert got == [("cancel", 1)]


@pytest.mark.parametrize("count", [0, 21])
def test_a_wait_for_any_takes_1_to_20_names(bench: Bench, count: int) -> None:
    names = [f"signal-{number}" for number in range(count)]
    script.job = lambda job, payload: job.wait_for_any(names, timeout=HOUR, label="any")
    row = bench.run(bench.dispatch("sample_once"))
    assert (row.status, row.error["kind"]) == (Status.FAILED, "TooManyNames")


def test_a_wait_for_several_times_out_and_refuses_none(bench: Bench) -> None:
    got: list[Any] = []

    def work(job: Any, payload: object) -> None:
        with pytest.raises(WaitTimedOut):
            job.wait_for_any(["pay", "cancel"], timeout=HOUR, label="order")
        got.append(job.wait_for("pay", timeout=DAY))

    script.job = work
    row = bench.run(bench.dispatch("sample_once"))
    bench.advance(HOUR + 61)
    bench.tick()
    bench.deliver()
    signaling.signal(bench.read(row), "cancel", 0, bench.send)
    assert bench.sent == []  # it no longer waits for that one
    signaling.signal(bench.read(row), "pay", 17, bench.send)
    bench.deliver()
    assert got == [17]


def test_a_waiting_job_is_canceled_at_once_and_a_retry_keeps_signals_and_deadline(
    bench: Bench,
) -> None:
    row, got = waiting(bench, timeout=HOUR)
    until = row.due_at
    row = caller_actions.cancel(row)
    assert row.status is Status.CANCELED
    bench.advance(600)
    row = bench.run(caller_actions.retry_again(row, bench.send))
    assert (row.status, row.due_at) == (Status.WAITING, until)
    signaling.signal(row, "approval", "yes", bench.send)
    row = caller_actions.cancel(bench.read(row))
    row = bench.run(caller_actions.retry_again(row, bench.send))
    assert got == ["yes"]


def test_a_retry_with_another_payload_starts_without_signals(bench: Bench) -> None:
    row, got = waiting(bench)
    row = signaling.signal(row, "approval", "yes", bench.send)
    row = caller_actions.cancel(row)
    row = bench.run(caller_actions.retry_again(row, bench.send, {"number": 2}))
    assert (row.status, row.signals, got) == (Status.WAITING, None, [])


def test_a_pause_holds_a_job_whose_signal_has_come(bench: Bench) -> None:
    row, got = waiting(bench)
    pausing.pause(Kind.JOB_TYPE, "sample_once")
    signaling.signal(row, "approval", 1, bench.send)
    bench.deliver()
    assert (bench.read(row).status, got) == (Status.WAITING, [])
    pausing.resume(Kind.JOB_TYPE, "sample_once", bench.send)
    bench.deliver()
    assert got == [1]


def test_the_wait_counts_against_no_limit_of_30_days(bench: Bench) -> None:
    row, got = waiting(bench, timeout=80 * DAY)
    bench.advance(79 * DAY)
    bench.tick()
    signaling.signal(bench.read(row), "approval", 1, bench.send)
    bench.deliver()
    assert got == [1]


def test_the_timer_finds_a_wait_in_a_lane_of_its_own(bench: Bench) -> None:
    row, _ = waiting(bench)
    assert row.due_shard == due_shard(row.id, Lane.WAITS)


def test_a_message_about_a_waiting_job_starts_nothing(bench: Bench) -> None:
    row, got = waiting(bench)
    bench.run_message(JobMessage.about(row))
    assert (bench.read(row).status, got) == (Status.WAITING, [])


def test_a_wait_that_woke_for_nothing_waits_again(bench: Bench) -> None:
    row, got = waiting(bench)
    until = row.due_at
    from job_runners.store import transitions

    row = bench.run(transitions.admit(row).after)
    assert (row.status, row.due_at, row.wait_count, got) == (Status.WAITING, until, 2, [])


def test_a_large_value_is_an_object_and_a_larger_one_is_refused(bench: Bench) -> None:
    row, got = waiting(bench)
    value = "".join(chr(97 + (each * 7919) % 23) + str(each) for each in range(12_000))
    with pytest.raises(SignalTooLarge):
        signaling.signal(row, "approval", value * 2, bench.send)
    signaling.signal(row, "approval", value, bench.send)
    (item,) = [it for it in moto_direct.rows("coordination") if it["pk"].startswith("signal#")]
    assert item["value_key"].startswith(f"partial/{row.created_key}/signals/")
    bench.deliver()
    assert got == [value]


def test_a_job_takes_only_so_many_signals(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "MAX_PER_JOB", 2)
    row = bench.dispatch("sample_once")
    for each in ("a", "b"):
        signaling.signal(bench.read(row), each, 1, bench.send)
    with pytest.raises(TooManySignals):
        signaling.signal(bench.read(row), "c", 1, bench.send)


def test_a_job_that_keeps_changing_refuses_for_now(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = bench.dispatch("sample_once")
    monkeypatch.setattr(signaling, "_read_again", lambda _: row)
    bench.run(row)
    with pytest.raises(SignalBusy):
        signaling.signal(row, "approval", 1, bench.send)
    assert signals.find(row, "approval") is None


def test_a_job_signals_another_one_of_its_organization(bench: Bench) -> None:
    row, got = waiting(bench)
    script.job = lambda job, payload: job.signal(row.id, "approval", {"from": "a job"})
    assert bench.run(bench.dispatch("sample_once")).status is Status.SUCCEEDED
    foreign = bench.run(bench.dispatch("sample_once", organization_id="other"))
    assert foreign.error["kind"] == JobNotFound.__name__
    script.job = lambda job, payload: job.signal("0" * 32, "approval", 1)
    unknown = bench.run(bench.dispatch("sample_once"))
    assert unknown.error["kind"] == JobNotFound.__name__
    script.job = waits_for()[0]
    bench.deliver()
    assert bench.read(row).status is Status.SUCCEEDED
    assert got == []  # another function of the script got it


@pytest.mark.parametrize("timeout", [0, HOUR])
def test_a_deleted_job_leaves_no_signals(bench: Bench, timeout: float) -> None:
    script.job, _ = waits_for(timeout=timeout)
    row = bench.run(bench.dispatch("sample_once"))
    if timeout:
        signaling.signal(row, "approval", 1, bench.send)
        bench.deliver()
    assert [it for it in moto_direct.rows("coordination") if it["pk"].startswith("signal#")]
    caller_actions.delete(bench.read(row))
    assert not [it for it in moto_direct.rows("coordination") if it["pk"].startswith("signal#")]


def test_a_deleted_job_leaves_no_signals_of_the_work_before_it_began_again(bench: Bench) -> None:
    row = bench.dispatch("sample_once")
    signaling.signal(row, "approval", 1, bench.send)
    row = caller_actions.cancel(bench.read(row))
    row = caller_actions.retry_again(row, bench.send, {"number": 2})
    caller_actions.delete(caller_actions.cancel(bench.read(row)))
    assert not [it for it in moto_direct.rows("coordination") if it["pk"].startswith("signal#")]


@pytest.mark.parametrize("name", ["", "a/b", "a#b", "x" * 129, ".."])
def test_a_name_is_like_other_names(bench: Bench, name: str) -> None:
    script.job = lambda job, payload: job.wait_for(name, timeout=1)
    assert "isn't the name of a signal" in bench.run(bench.dispatch("sample_once")).error["message"]


def test_an_operator_signals_over_http(bench: Bench) -> None:
    row, _ = waiting(bench)
    path = f"/jobs/{row.id}/signals/approval"
    shown = call("GET", f"/jobs/{row.id}").json
    assert shown["waits_for"] == {
        "kind": "signal",
        "name": "approval",
        "key": None,
        "since": clock.iso(row.waiting_since),
        "until": clock.iso(row.due_at),
        "names": ["approval"],
    }
    assert call("PUT", path, body={}).status == 422
    assert call("PUT", path, body={"value": None}).status == 200
    assert call("PUT", path, body={"value": None}).status == 200
    assert call("PUT", path, body={"value": 1}).status == 409
    bench.run(bench.read(row))
    assert call("PUT", path, body={"value": None}).status == 200
    late = call("PUT", f"/jobs/{row.id}/signals/other", body={"value": 1})
    assert (late.status, late.json["type"]) == (410, "urn:job-runners:signal-too-late")
    assert call("PUT", f"/jobs/{row.id}/signals/a#b", body={"value": 1}).status == 422
