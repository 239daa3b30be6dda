"""Queues with limits: never one more than there may be, and no slot that nobody has."""

from typing import Any

import pytest

from bench import Bench
from job_runners import clock
from job_runners.engine.control import caller_actions
from job_runners.engine.lines import admission, pausing
from job_runners.engine.running import claiming, execution, failure_records, gates
from job_runners.engine.settling.settle import settle
from job_runners.engine.tick import timer
from job_runners.engine.wire.messages import JobMessage
from job_runners.engine.wire.sending import CANNOT_SEND
from job_runners.errors import RunnerCannotResend
from job_runners.store import limits, lines, queries, transitions
from job_runners.store.job_request import JobRequest, Status
from job_runners.store.line_items import LineItem
from job_runners.store.pauses import Kind
from job_runners.store.rate import Rate
from limited_queue import QUEUE, dispatch, during, held, hold_in_order, items
from sample_work import script


def end_invocation(bench: Bench, job: Any, *invocations: int) -> None:
    """Come to the end of the invocation's time, in these invocations."""
    if job.invocation in invocations:
        bench.advance(880)
        job.checkpoint(job.invocation)


# --- slots ----------------------------------------------------------------------------------------


def test_a_job_has_a_slot_while_it_runs_and_none_afterwards(one_slot: Bench) -> None:
    row = dispatch(one_slot)
    seen: list[Any] = []
    ended = during(one_slot, lambda: seen.extend([held(), one_slot.read(row).slot]), row)
    assert seen == [[row.id], 1]
    assert (ended.status, ended.slot) == (Status.SUCCEEDED, None)
    assert held() == []


def test_who_finds_no_room_waits_and_is_admitted_when_there_is(one_slot: Bench) -> None:
    second = dispatch(one_slot)
    waited = []
    during(one_slot, lambda: waited.append(one_slot.run(second)))
    assert (waited[0].status, waited[0].held_by) == (Status.WAITING, "line#texts#*")
    assert waited[0].invocations == 0
    admitted = one_slot.read(second)
    assert (admitted.status, admitted.slot, admitted.wait_key) == (Status.QUEUED, 1, None)
    assert held() == [second.id]
    assert one_slot.sent_jobs == [second.id]
    one_slot.deliver()
    assert one_slot.read(second).status is Status.SUCCEEDED
    assert (items("wait#"), held()) == ([], [])


def test_who_waits_is_admitted_in_the_order_of_holding(one_slot: Bench) -> None:
    rows = [dispatch(one_slot) for _ in range(4)]
    ran: list[str] = []

    def work(job: Any, payload: object) -> None:
        if not ran:
            for row in rows[1:]:
                one_slot.advance(1)
                assert one_slot.run(row).status is Status.WAITING
        ran.append(job.id)

    script.job = work
    one_slot.run(rows[0])
    one_slot.deliver()
    assert ran == [row.id for row in rows]


def test_who_comes_while_somebody_waits_does_not_pass(one_slot: Bench) -> None:
    first, second, third = (dispatch(one_slot) for _ in range(3))
    one_slot.claim(first)
    pausing.pause(Kind.QUEUE, "another")  # what may pause reads the row first, too
    transitions.hold_in_line(second, "line#texts#*", "*", group="", due_at=clock.now())
    one_slot.advance(0.001)  # in the same millisecond, either could be the first
    assert one_slot.run(third).status is Status.WAITING
    assert one_slot.read(second).status is Status.QUEUED  # admitted by the third's second look
    assert held() == [second.id]


def test_slots_above_the_number_in_force_are_not_given(bench: Bench) -> None:
    """Three hold slots, then the number is lowered to two, and the first two end."""
    limits.put(QUEUE, slots=3)
    rows = [dispatch(bench) for _ in range(5)]
    most: list[int] = []

    def work(job: Any, payload: object) -> None:
        most.append(len(held()))
        if job.id == rows[0].id:
            bench.run(rows[1])
        if job.id == rows[1].id:
            bench.run(rows[2])
        if job.id == rows[2].id:
            limits.put(QUEUE, slots=2)
            bench.run(rows[3])
            bench.run(rows[4])

    script.job = work
    bench.run(rows[0])
    assert most == [1, 2, 3]
    assert len(held()) == 2
    bench.deliver()
    assert max(most[3:]) <= 2
    assert {bench.read(row).status for row in rows} == {Status.SUCCEEDED}


def test_an_invocation_keeps_its_slot_and_a_retry_gives_it_up(one_slot: Bench) -> None:
    row, next_one = dispatch(one_slot), dispatch(one_slot)

    def work(job: Any, payload: object) -> None:
        end_invocation(one_slot, job, 1)
        if job.id == row.id:
            raise ValueError("no luck")

    script.job = work
    invocation = one_slot.run(row)
    assert (invocation.status, invocation.slot) == (Status.QUEUED, 1)
    assert invocation.admitted_at is not None
    assert one_slot.run(next_one).status is Status.WAITING
    one_slot.sent.clear()
    again = one_slot.run(row)
    assert (again.status, again.slot) == (Status.RETRYABLE, None)
    assert held() == [next_one.id]
    assert one_slot.sent_jobs == [row.id, next_one.id]


@pytest.mark.parametrize("how", ["fail", "cancel", "rescue", "settle", "expire", "hold"])
def test_whatever_ends_the_holding_frees_the_slot(one_slot: Bench, how: str) -> None:
    """And lets the next on."""
    row, waiting = dispatch(one_slot, job_type="sample_once"), dispatch(one_slot)
    one_slot.sent.clear()

    def work(job: Any, payload: object) -> None:
        if job.id != row.id:
            return
        assert one_slot.run(waiting).status is Status.WAITING
        match how:
            case "fail":
                raise ValueError("no luck")
            case "cancel":
                caller_actions.cancel(one_slot.read(row))
                one_slot.advance(1)
                job.checkpoint()
            case "rescue":
                one_slot.advance(1000)
                one_slot.tick()
            case "settle":
                claimed = one_slot.read(row)
                message = {"v": 1, "kind": "job", "id": row.id, "job_type": row.job_type}
                message |= {"send_id": claimed.send_id, "queue_name": row.queue_name}
                record = {"requestPayload": message}
                failure_records.handle_record(record, one_slot.send)
            case "expire":
                end_invocation(one_slot, job, 1)
            case "hold":
                pausing.pause(Kind.JOB_TYPE, "sample_once")
                one_slot.advance(11)
                job.checkpoint("here")

    script.job = work
    one_slot.run(row)
    if how == "expire":
        assert one_slot.read(row).slot == 1
        row = one_slot.read(row)
        settle(transitions.expire(row, {"kind": "NeverStarted"}), one_slot.send)
    assert held() == [waiting.id], one_slot.read(row).state
    assert one_slot.read(row).slot is None
    assert one_slot.read(waiting).status is Status.QUEUED
    assert waiting.id in one_slot.sent_jobs


def test_a_canceled_job_that_waits_leaves_no_entry(one_slot: Bench) -> None:
    waiting = dispatch(one_slot)
    during(one_slot, lambda: caller_actions.cancel(one_slot.run(waiting), one_slot.send))
    assert one_slot.read(waiting).status is Status.CANCELED
    assert (items("wait#"), held()) == ([], [])


@pytest.mark.parametrize("was_read_before", [False, True])
def test_a_job_that_was_admitted_and_is_canceled_gives_its_slot_to_the_next(
    one_slot: Bench, was_read_before: bool
) -> None:
    second, third = dispatch(one_slot), dispatch(one_slot)
    during(one_slot, lambda: hold_in_order(one_slot, second, third))
    row = second if was_read_before else one_slot.read(second)
    caller_actions.cancel(row, one_slot.send)
    assert held() == [third.id]
    assert one_slot.read(third).status is Status.QUEUED


def test_a_slot_that_is_anothers_keeps_no_job_from_ending(one_slot: Bench) -> None:
    def take_it_away() -> None:
        (slot,) = items("slot#")
        LineItem(slot["pk"], slot["sk"]).update([LineItem.holder.set("somebody")])

    assert during(one_slot, take_it_away).status is Status.SUCCEEDED
    assert held() == ["somebody"]


def test_a_claim_that_was_overtaken_before_its_row_was_read_is_none(
    one_slot: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer of a transaction has no row: it is read, and may be another's by then."""
    row = dispatch(one_slot)
    claims: list[str | None] = []

    def overtaken(job_id: str) -> JobRequest | None:
        monkeypatch.setattr("job_runners.store.conditional_write.read", read)
        one_slot.advance(1000)
        one_slot.tick()
        assert one_slot.read(row).status is Status.RETRYABLE
        one_slot.advance(1000)
        claims.append(one_slot.claim(row).claim_token)
        return read(job_id)

    read = queries.read
    monkeypatch.setattr("job_runners.store.conditional_write.read", overtaken)
    ran: list[str] = []
    script.job = lambda job, payload: ran.append(job.id)
    after = one_slot.run(row)
    assert ran == []
    assert (after.status, after.claim_token) == (Status.RUNNING, claims[0])


def test_a_slot_whose_holder_does_not_name_it_is_freed_after_a_minute(one_slot: Bench) -> None:
    """As code that knows no slots leaves it, when it ends a job that has one."""
    lost, waiting = dispatch(one_slot), dispatch(one_slot)
    during(one_slot, lambda: one_slot.run(lost))
    JobRequest(id=lost.id).update(
        [JobRequest.status.set(Status.CANCELED), JobRequest.due_at.remove()]
    )
    assert one_slot.run(waiting).status is Status.WAITING
    assert held() == [lost.id]
    one_slot.advance(61)
    another = dispatch(one_slot)
    one_slot.run(another)
    assert held() == [waiting.id]


def test_a_job_admitted_and_unclaimed_for_an_hour_goes_to_the_end_of_its_line(
    one_slot: Bench,
) -> None:
    second, third = dispatch(one_slot), dispatch(one_slot)
    during(one_slot, lambda: hold_in_order(one_slot, second, third))
    assert held() == [second.id]
    one_slot.sent.clear()  # lost
    for _ in range(62):
        one_slot.advance(60)
        one_slot.tick()
    assert held() == [third.id]
    assert one_slot.read(second).status is Status.WAITING
    one_slot.deliver()
    assert {one_slot.read(row).status for row in (second, third)} == {Status.SUCCEEDED}


def test_a_worker_killed_after_it_freed_its_slot_leaves_nobody_waiting(
    one_slot: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    row, waiting = dispatch(one_slot), dispatch(one_slot)
    with monkeypatch.context() as patched:
        patched.setattr("job_runners.engine.settling.settle._settle_line", lambda *_: None)
        during(one_slot, lambda: one_slot.run(waiting), row)
    assert one_slot.read(waiting).status is Status.WAITING
    event = JobMessage.about(row)._asdict() | {"v": 1, "kind": "job"}
    failure_records.handle_record({"requestPayload": event}, one_slot.send)
    assert held() == [waiting.id]


def test_the_timer_admits_who_waits_beside_a_free_slot(
    one_slot: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    row, waiting = dispatch(one_slot), [dispatch(one_slot) for _ in range(3)]
    with monkeypatch.context() as patched:
        patched.setattr("job_runners.engine.settling.settle._settle_line", lambda *_: None)
        during(one_slot, lambda: [one_slot.run(each) for each in waiting], row)
    one_slot.advance(3700)
    looked: list[str] = []
    read_line = lines.read_line

    def look(queue_name: str, *how: Any) -> lines.Line:
        looked.append(queue_name)
        return read_line(queue_name, *how)

    monkeypatch.setattr(lines, "read_line", look)
    counts = one_slot.tick().counts
    assert counts[timer.Disposition.HELD] + counts[timer.Disposition.MOVED] == 3
    assert len(held()) == 1
    assert looked == [QUEUE] * 2  # once in a tick: it admits one, and looks again


def test_a_queue_that_has_no_limits_any_more_lets_all_on(one_slot: Bench) -> None:
    rows = [dispatch(one_slot) for _ in range(3)]

    def open_up() -> None:
        for row in rows:
            one_slot.run(row)
        limits.reset(QUEUE)

    during(one_slot, open_up)
    one_slot.deliver()
    assert {one_slot.read(row).status for row in rows} == {Status.SUCCEEDED}
    assert (items("wait#"), held()) == ([], [])


def test_what_ran_before_its_queue_had_limits_is_not_counted(bench: Bench) -> None:
    first, second = dispatch(bench), dispatch(bench)
    assert first.concurrency_key is None

    def declare() -> None:
        limits.put(QUEUE, slots=1)
        assert bench.run(second).status is Status.SUCCEEDED

    assert during(bench, declare, first).status is Status.SUCCEEDED
    assert held() == []


def test_a_job_that_began_without_a_slot_takes_one_for_its_next_invocation(bench: Bench) -> None:
    """Its queue had a rate alone when it was admitted, and has slots by now."""
    limits.put(QUEUE, rate=Rate(1, seconds=100))
    row, other = dispatch(bench), dispatch(bench, job_type="sample_once")

    def work(job: Any, payload: object) -> None:
        if job.id == row.id and job.invocation == 1:
            limits.put(QUEUE, slots=1, rate=Rate(1, seconds=100))
            end_invocation(bench, job, 1)
        elif job.id == row.id:
            assert held() == [row.id]
            assert [it["turn"] for it in items("rate")] == [1]  # it paid once
            assert bench.run(other).status is Status.WAITING

    script.job = work
    between = bench.run(row)
    assert (between.slot, between.admitted_at is not None) == (None, True)
    assert bench.run(row).status is Status.SUCCEEDED


def test_a_pause_admits_nobody_and_its_end_does(one_slot: Bench) -> None:
    first, waits, comes = (dispatch(one_slot) for _ in range(3))

    def pause() -> None:
        one_slot.run(waits)
        pausing.pause(Kind.QUEUE, QUEUE)
        assert one_slot.run(comes).held_by == "queue#texts"

    during(one_slot, pause, first)
    assert held() == []
    assert one_slot.read(waits).status is Status.WAITING
    pausing.resume(Kind.QUEUE, QUEUE, one_slot.send)
    one_slot.deliver()
    for _ in range(3):
        one_slot.advance(60)
        one_slot.tick()
        one_slot.deliver()
    assert {one_slot.read(row).status for row in (first, waits, comes)} == {Status.SUCCEEDED}
    assert held() == []


def test_a_job_between_two_invocations_that_is_paused_gives_its_slot_up(one_slot: Bench) -> None:
    row, waiting = dispatch(one_slot), dispatch(one_slot)
    script.job = lambda job, payload: end_invocation(one_slot, job, 1)
    one_slot.run(row)
    one_slot.run(waiting)
    pausing.pause(Kind.JOB_TYPE, "sample_again")
    assert one_slot.run(row).status is Status.WAITING
    assert held() == [waiting.id]


def test_a_job_whose_queue_lost_its_limits_is_sent_less_and_less_often(one_slot: Bench) -> None:
    """It keeps the mark of its admission between two invocations, and no worker claims it."""
    row = dispatch(one_slot)
    script.job = lambda job, payload: end_invocation(one_slot, job, 1)
    assert one_slot.run(row).admitted_at is not None
    limits.reset(QUEUE)
    sent_in_hours = []
    for _ in range(4):
        one_slot.sent.clear()
        for _ in range(60):
            one_slot.advance(60)
            one_slot.tick()
        sent_in_hours.append(len(one_slot.sent_jobs))
    assert sent_in_hours[0] >= 5
    assert all(1 <= sent <= 2 for sent in sent_in_hours[1:]), sent_in_hours


# --- fair -----------------------------------------------------------------------------------------


def test_organisations_take_turns_in_a_fair_queue(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    fair = limits.Limits(slots=1, order="fair")
    for module in (claiming, gates, admission):
        monkeypatch.setattr(module, "limits_of", lambda name: fair if name == QUEUE else None)
    many = [dispatch(bench, organization_id="many") for _ in range(5)]
    few = [dispatch(bench, organization_id="few") for _ in range(2)]
    ran: list[str] = []

    def work(job: Any, payload: object) -> None:
        if not ran:
            for row in (*many[1:], *few):
                bench.advance(1)
                bench.run(row)
        ran.append(job.organization_id)

    script.job = work
    bench.run(many[0])
    bench.deliver()
    assert ran == ["many", "few", "many", "few", "many", "many", "many"]


# --- what may go wrong around them ----------------------------------------------------------------


def test_a_job_that_may_have_to_wait_is_refused_by_a_runner_that_can_not_send_it_again(
    one_slot: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("job_runners.engine.configured.sender", lambda: CANNOT_SEND)
    with pytest.raises(RunnerCannotResend, match="is in a queue with limits"):
        dispatch(one_slot, job_type="sample_once")


def test_a_runner_that_can_not_let_anybody_on_holds_nobody(bench: Bench) -> None:
    """Its job was dispatched before its queue had limits."""
    rows = [dispatch(bench, job_type="sample_once") for _ in range(2)]
    limits.put(QUEUE, slots=1)

    def run_without_send(row: JobRequest) -> JobRequest:
        deadline = clock.now() + 900_000
        execution.run(JobMessage.about(row), deadline=deadline, send=CANNOT_SEND)
        return bench.read(row)

    def work(job: Any, payload: object) -> None:
        if job.id == rows[0].id:
            ended.append(run_without_send(rows[1]))

    ended: list[JobRequest] = []
    script.job = work
    ended.append(run_without_send(rows[0]))
    assert [row.status for row in ended] == [Status.SUCCEEDED] * 2
    assert held() == []


def test_a_job_keeps_its_slot_if_a_worker_whose_clock_is_behind_releases_it(
    one_slot: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    row, now = dispatch(one_slot), clock.now

    def release() -> None:
        with monkeypatch.context() as behind:
            behind.setattr(clock, "now", lambda: now() - 20 * clock.SECOND)
            transitions.release(one_slot.read(row))

    assert during(one_slot, release, row).is_admitted
