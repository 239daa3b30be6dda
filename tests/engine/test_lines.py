"""Queues with limits: never one more than there may be, and no slot that nobody has."""

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import pytest

import clock
from aws import clients
from bench import Bench
from errors import RunnerCannotResend
from runners import (
    execution,
    failure_records,
    gates,
    line_pump,
    owner_actions,
    pausing,
    sweeping,
    timer,
)
from runners.messages import JobMessage, QueueMessage
from sample_work import script
from store import limits, lines, pauses, queries, used_keys, verbs
from store.job_request import LIMITED, JobRequest, Status
from store.lines import LineItem
from store.pauses import Kind
from store.rate import Rate
from testing import moto_direct

QUEUE = "texts"


@pytest.fixture
def one_slot(bench: Bench) -> Bench:
    limits.put(QUEUE, slots=1)
    return bench


def dispatch(bench: Bench, **fields: Any) -> JobRequest:
    bench.advance(0.001)
    return bench.dispatch(**({"job_type": "sample_again", "queue_name": QUEUE} | fields))


def during(bench: Bench, act: Callable[[], Any], row: JobRequest | None = None) -> JobRequest:
    """Do something while a job has the slot; return the job, which then ends."""
    has_begun: list[str] = []

    def work(job: Any, payload: object) -> None:
        if not has_begun:
            has_begun.append(job.id)
            act()

    script.job = work
    ended = bench.run(row or dispatch(bench))
    assert has_begun
    return ended


def end_leg(bench: Bench, job: Any, *legs: int) -> None:
    """Come to the end of the invocation's time, in these legs."""
    if job.leg in legs:
        bench.advance(880)
        job.checkpoint(job.leg)


def park_in_order(bench: Bench, *rows: JobRequest) -> None:
    """Have messages about jobs that find no room arrive, a second apart."""
    for row in rows:
        bench.advance(1)
        assert bench.run(row).status is Status.WAITING


def items(prefix: str) -> list[moto_direct.Row]:
    place = lines.place_of(QUEUE, "*")
    found = moto_direct.rows("coordination")
    return [it for it in found if it["pk"] == place and str(it["sk"]).startswith(prefix)]


def held() -> list[str]:
    return [str(it["holder"]) for it in items("slot#") if "holder" in it]


# --- slots ----------------------------------------------------------------------------------------


def test_a_job_has_a_slot_while_it_runs_and_none_afterwards(one_slot: Bench) -> None:
    row = dispatch(one_slot)
    seen: list[Any] = []
    ended = during(one_slot, lambda: seen.extend([held(), one_slot.read(row).slot]), row)
    assert seen == [[row.id], 1]
    assert (ended.status, ended.slot, ended.row_version) == (Status.SUCCEEDED, None, LIMITED)
    assert held() == []


def test_who_finds_no_room_waits_and_is_let_on_when_there_is(one_slot: Bench) -> None:
    second = dispatch(one_slot)
    waited = []
    during(one_slot, lambda: waited.append(one_slot.run(second)))
    assert (waited[0].status, waited[0].held_by) == (Status.WAITING, "line#texts#*")
    assert waited[0].legs == 0
    let_on = one_slot.read(second)
    assert (let_on.status, let_on.slot, let_on.wait_key) == (Status.QUEUED, 1, None)
    assert held() == [second.id]
    assert one_slot.sent_jobs == [second.id]
    one_slot.deliver()
    assert one_slot.read(second).status is Status.SUCCEEDED
    assert (items("wait#"), held()) == ([], [])


def test_who_waits_is_let_on_in_the_order_of_parking(one_slot: Bench) -> None:
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
    verbs.park_in_line(second, "line#texts#*", "*", group="", due_at=clock.now())
    assert one_slot.run(third).status is Status.WAITING
    assert one_slot.read(second).status is Status.QUEUED  # let on by the third's second look
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


def test_a_leg_keeps_its_slot_and_a_retry_gives_it_up(one_slot: Bench) -> None:
    row, next_one = dispatch(one_slot), dispatch(one_slot)

    def work(job: Any, payload: object) -> None:
        end_leg(one_slot, job, 1)
        if job.id == row.id:
            raise ValueError("no luck")

    script.job = work
    leg = one_slot.run(row)
    assert (leg.status, leg.slot) == (Status.QUEUED, 1)
    assert leg.admitted_at is not None
    assert one_slot.run(next_one).status is Status.WAITING
    one_slot.sent.clear()
    again = one_slot.run(row)
    assert (again.status, again.slot) == (Status.RETRYABLE, None)
    assert held() == [next_one.id]
    assert one_slot.sent_jobs == [row.id, next_one.id]


@pytest.mark.parametrize("how", ["fail", "cancel", "rescue", "settle", "expire", "park"])
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
                owner_actions.cancel(one_slot.read(row))
                one_slot.advance(1)
                job.checkpoint()
            case "rescue":
                one_slot.advance(1000)
                one_slot.tick()
            case "settle":
                claimed = one_slot.read(row)
                message = {"v": 1, "kind": "job", "id": row.id, "job_type": row.job_type}
                record = {"requestPayload": message | {"send_id": claimed.send_id}}
                failure_records.settle(record, one_slot.send)
            case "expire":
                end_leg(one_slot, job, 1)
            case "park":
                pausing.pause(Kind.JOB_TYPE, "sample_once")
                one_slot.advance(11)
                job.checkpoint("here")

    script.job = work
    one_slot.run(row)
    if how == "expire":
        assert one_slot.read(row).slot == 1
        row = one_slot.read(row)
        verbs.expire(row, {"kind": "NeverStarted"})
        line_pump.give_on_after(row, one_slot.send)
    assert held() == [waiting.id], one_slot.read(row).state
    assert one_slot.read(row).slot is None
    assert one_slot.read(waiting).status is Status.QUEUED
    assert waiting.id in one_slot.sent_jobs


def test_a_cancelled_job_that_waits_leaves_no_entry(one_slot: Bench) -> None:
    waiting = dispatch(one_slot)
    during(one_slot, lambda: owner_actions.cancel(one_slot.run(waiting), one_slot.send))
    assert one_slot.read(waiting).status is Status.CANCELLED
    assert (items("wait#"), held()) == ([], [])


def test_a_job_that_was_let_on_and_is_cancelled_gives_its_slot_to_the_next(
    one_slot: Bench,
) -> None:
    second, third = dispatch(one_slot), dispatch(one_slot)
    during(one_slot, lambda: park_in_order(one_slot, second, third))
    owner_actions.cancel(one_slot.read(second), one_slot.send)
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
        monkeypatch.setattr("store.conditional_write.read", read)
        one_slot.advance(1000)
        one_slot.tick()
        assert one_slot.read(row).status is Status.RETRYABLE
        one_slot.advance(1000)
        claims.append(one_slot.claim(row).claim_token)
        return read(job_id)

    read = queries.read
    monkeypatch.setattr("store.conditional_write.read", overtaken)
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
        [JobRequest.status.set(Status.CANCELLED), JobRequest.due_at.remove()]
    )
    assert one_slot.run(waiting).status is Status.WAITING
    assert held() == [lost.id]
    one_slot.advance(61)
    another = dispatch(one_slot)
    one_slot.run(another)
    assert held() == [waiting.id]


def test_a_job_let_on_and_unclaimed_for_an_hour_goes_to_the_end_of_its_line(
    one_slot: Bench,
) -> None:
    second, third = dispatch(one_slot), dispatch(one_slot)
    during(one_slot, lambda: park_in_order(one_slot, second, third))
    assert held() == [second.id]
    one_slot.sent.clear()  # lost
    for _ in range(70):
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
        patched.setattr("runners.line_pump.give_on_after", lambda row, send: None)
        during(one_slot, lambda: one_slot.run(waiting), row)
    assert one_slot.read(waiting).status is Status.WAITING
    event = JobMessage.about(row)._asdict() | {"v": 1, "kind": "job"}
    failure_records.settle({"requestPayload": event}, one_slot.send)
    assert held() == [waiting.id]


def test_the_timer_lets_on_who_waits_beside_a_free_slot(
    one_slot: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    row, waiting = dispatch(one_slot), [dispatch(one_slot) for _ in range(3)]
    with monkeypatch.context() as patched:
        patched.setattr("runners.line_pump.give_on_after", lambda row, send: None)
        during(one_slot, lambda: [one_slot.run(each) for each in waiting], row)
    one_slot.advance(3700)
    looked: list[str] = []
    read_line = lines.read_line

    def look(queue_name: str, *how: Any) -> lines.Line:
        looked.append(queue_name)
        return read_line(queue_name, *how)

    monkeypatch.setattr(lines, "read_line", look)
    met = one_slot.tick().met
    assert met[timer.Disposition.PARKED] + met[timer.Disposition.MOVED] == 3
    assert len(held()) == 1
    assert looked == [QUEUE] * 2  # once in a tick: it lets one on, and looks again


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
    assert first.queue_key is None

    def declare() -> None:
        limits.put(QUEUE, slots=1)
        assert bench.run(second).status is Status.SUCCEEDED

    assert during(bench, declare, first).status is Status.SUCCEEDED
    assert held() == []


def test_a_job_that_began_without_a_slot_takes_one_for_its_next_leg(bench: Bench) -> None:
    """Its queue had a rate alone when it was let on, and has slots by now."""
    limits.put(QUEUE, rate=Rate(1, seconds=100))
    row, other = dispatch(bench), dispatch(bench, job_type="sample_once")

    def work(job: Any, payload: object) -> None:
        if job.id == row.id and job.leg == 1:
            limits.put(QUEUE, slots=1, rate=Rate(1, seconds=100))
            end_leg(bench, job, 1)
        elif job.id == row.id:
            assert held() == [row.id]
            assert [it["turn"] for it in items("rate")] == [1]  # it paid once
            assert bench.run(other).status is Status.WAITING

    script.job = work
    between = bench.run(row)
    assert (between.slot, between.admitted_at is not None) == (None, True)
    assert bench.run(row).status is Status.SUCCEEDED


def test_a_pause_lets_nobody_on_and_its_end_does(one_slot: Bench) -> None:
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


def test_a_job_between_two_legs_that_is_paused_gives_its_slot_up(one_slot: Bench) -> None:
    row, waiting = dispatch(one_slot), dispatch(one_slot)
    script.job = lambda job, payload: end_leg(one_slot, job, 1)
    one_slot.run(row)
    one_slot.run(waiting)
    pausing.pause(Kind.JOB_TYPE, "sample_again")
    assert one_slot.run(row).status is Status.WAITING
    assert held() == [waiting.id]


# --- fair -----------------------------------------------------------------------------------------


def test_organisations_take_turns_in_a_fair_queue(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    fair = limits.Limits(slots=1, order="fair")
    for module in (gates, line_pump):
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


# --- rate -----------------------------------------------------------------------------------------


@pytest.fixture
def still(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Return a bench whose clock stands still unless it is moved."""
    began = clock.now()
    monkeypatch.setattr(clock, "now", lambda: began + bench.moved)
    return bench


def start_times(bench: Bench) -> list[int]:
    starts: list[int] = []

    def work(job: Any, payload: object) -> None:
        starts.append(clock.now())

    script.job = work
    return starts


def deliver_in_time(bench: Bench) -> None:
    """Deliver what was sent, each message when its delay is over."""
    waiting = [(clock.now() + int(delay * 1000), message) for message, delay in bench.sent]
    bench.sent.clear()
    while waiting:
        waiting.sort(key=lambda each: each[0])
        at, message = waiting.pop(0)
        bench.advance(max(0, at - clock.now()) / 1000)
        execution.run(message, deadline=clock.now() + 900_000, send=bench.send)
        waiting += [(clock.now() + int(delay * 1000), it) for it, delay in bench.sent]
        bench.sent.clear()


def test_starts_are_spread_over_the_period(still: Bench) -> None:
    limits.put(QUEUE, rate=Rate(6, seconds=60))
    starts = start_times(still)
    rows = [dispatch(still) for _ in range(7)]
    for row in rows:
        still.run(row)
    assert len(starts) == 1
    deliver_in_time(still)
    gaps = [later - earlier for earlier, later in pairwise(starts)]
    assert len(gaps) == 6
    assert all(10_000 <= gap <= 10_001 for gap in gaps)


def test_a_burst_starts_at_once_after_a_time_without(still: Bench) -> None:
    limits.put(QUEUE, rate=Rate(6, seconds=60, burst=3))
    starts = start_times(still)
    for row in [dispatch(still) for _ in range(5)]:
        still.run(row)
    assert len(starts) == 3
    deliver_in_time(still)
    assert len(starts) == 5


def test_a_rate_of_many_a_second_is_kept_up_by_one_wake_up(still: Bench) -> None:
    limits.put(QUEUE, rate=Rate(20))
    starts = start_times(still)
    for row in [dispatch(still) for _ in range(40)]:
        still.run(row)
    wake_ups = [it for it, _ in still.sent if isinstance(it, QueueMessage)]
    assert len(wake_ups) == 1
    began = clock.now()
    deliver_in_time(still)
    assert len(starts) == 40
    assert clock.now() - began <= 3000


def test_a_job_that_was_let_on_at_a_rate_pays_once_whatever_its_legs(still: Bench) -> None:
    limits.put(QUEUE, rate=Rate(1, seconds=100))
    script.job = lambda job, payload: end_leg(still, job, 1, 2)
    row = dispatch(still)
    for _ in range(3):
        still.run(row)
    assert still.read(row).status is Status.SUCCEEDED
    (rate,) = items("rate")
    assert rate["turn"] == 1


def test_a_wake_up_that_was_lost_is_asked_for_again(still: Bench) -> None:
    limits.put(QUEUE, rate=Rate(1, seconds=10))
    starts = start_times(still)
    for row in [dispatch(still) for _ in range(2)]:
        still.run(row)
    still.sent.clear()
    still.advance(3700)
    still.tick()
    still.deliver()
    assert len(starts) == 2


def test_a_rate_that_was_slow_does_not_hold_up_a_faster_one(still: Bench) -> None:
    limits.put(QUEUE, rate=Rate(1, seconds=3600))
    starts = start_times(still)
    still.run(dispatch(still))
    limits.put(QUEUE, rate=Rate(1, seconds=2))
    still.advance(2)
    still.run(dispatch(still))
    assert len(starts) == 2


# --- keys -----------------------------------------------------------------------------------------


def test_a_key_is_listed_once_a_day_when_it_is_used(one_slot: Bench) -> None:
    puts: list[str] = []
    clients.client("dynamodb").meta.events.register(
        "before-call.dynamodb.PutItem", lambda params, **_: puts.append(params["body"].decode())
    )
    for _ in range(3):
        during(one_slot, lambda: None)
    assert used_keys.used(QUEUE, 10) == ["*"]
    assert sum("keys#" in put for put in puts) == 1
    one_slot.advance(clock.DAY / 1000)
    during(one_slot, lambda: None)
    assert sum("keys#" in put for put in puts) == 2


def test_a_message_of_an_older_deploy_names_no_queue_and_the_row_tells(one_slot: Bench) -> None:
    first, second = dispatch(one_slot), dispatch(one_slot)

    def arrive() -> None:
        message = JobMessage(id=second.id, job_type=second.job_type, send_id="old")
        execution.run(message, deadline=clock.now() + 900_000, send=one_slot.send)

    during(one_slot, arrive, first)
    assert held() == [second.id]


# --- sweeps ---------------------------------------------------------------------------------------


BY_CAMPAIGN = "sample_campaigns"  # of the sample work: one slot for each campaign


def campaign_job(bench: Bench, campaign_id: str) -> JobRequest:
    return dispatch(bench, queue_name=BY_CAMPAIGN, campaign_id=campaign_id)


def wait_under_keys(bench: Bench, many: int) -> list[JobRequest]:
    """Have a job wait under each of so many keys, with a slot that is free: the pump was lost."""
    rows = []
    for number in range(many):
        row = campaign_job(bench, f"campaign {number:03d}")
        key = row.queue_key or ""
        place, later = lines.place_of(BY_CAMPAIGN, key), clock.now() + clock.DAY
        used_keys.note(BY_CAMPAIGN, key)
        rows.append(verbs.park_in_line(row, place, key, group="", due_at=later))
    return rows


def test_each_campaign_has_a_slot_of_its_own(bench: Bench) -> None:
    first, same, other = (campaign_job(bench, name) for name in "AAB")
    found: list[Status] = []

    def arrive() -> None:
        found.extend(bench.run(row).status for row in (same, other))

    during(bench, arrive, first)
    assert found == [Status.WAITING, Status.SUCCEEDED]
    assert used_keys.used(BY_CAMPAIGN, 10) == ["acme:A", "acme:B"]


def test_wider_limits_let_on_who_waits_under_any_key(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As far as one tick comes, and on from there in the next."""
    monkeypatch.setattr(sweeping, "_BATCH", 4)
    rows = wait_under_keys(bench, 10)
    limits.put(BY_CAMPAIGN, slots=2, sweep=True)
    bench.tick()
    assert len(bench.sent_jobs) == 4  # at once, as a start
    bench.advance(121)
    bench.tick()
    assert set(bench.sent_jobs) == {row.id for row in rows}
    assert limits.current(fresh=True)[BY_CAMPAIGN].sweep_from is None
    bench.deliver()
    assert {bench.read(row).status for row in rows} == {Status.SUCCEEDED}


def test_a_sweep_that_was_cut_off_goes_on_where_it_was(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "_BATCH", 3)
    wait_under_keys(bench, 7)
    limits.put(BY_CAMPAIGN, slots=2, sweep=True)
    bench.advance(121)
    looked: list[str] = []

    def look(queue_name: str, key: str, send: object, *, until: int) -> None:
        looked.append(key)
        if len(looked) == 4:
            bench.advance(60)

    monkeypatch.setattr(sweeping, "give_on", look)
    bench.tick()
    assert len(looked) == 4
    bench.tick()
    assert looked[4:] == looked[3:4] + [f"acme:campaign {n:03d}" for n in range(4, 7)]


def test_a_sweep_that_does_not_come_to_a_key_goes_on_there(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tick has given up on AWS, say, though there is time left."""
    limits.put(BY_CAMPAIGN, slots=1, sweep=True)
    for key in ("acme:A", "acme:B"):
        used_keys.note(BY_CAMPAIGN, key)
    bench.advance(121)
    met: list[str] = []

    def some(keys: Iterable[str], call: Callable[[str], None]) -> bool:
        met.extend(keys)
        return len(met) > 2

    for _ in range(2):
        sweeping.sweep(bench.send, some, until=clock.now() + clock.MINUTE)
    assert met == ["acme:A", "acme:B"] * 2
    assert limits.current(fresh=True)[BY_CAMPAIGN].sweep_from is None


def test_a_resumed_queue_lets_on_who_waits_in_its_lines(bench: Bench) -> None:
    rows = wait_under_keys(bench, 3)
    pausing.pause(Kind.QUEUE, BY_CAMPAIGN)
    pausing.resume(Kind.QUEUE, BY_CAMPAIGN, bench.send)
    assert sorted(bench.sent_jobs) == sorted(row.id for row in rows)


def test_who_ends_just_after_a_resume_has_heard_of_it(one_slot: Bench) -> None:
    """The cache of its process still has the pause."""
    waiting = dispatch(one_slot)

    def pause_and_resume() -> None:
        one_slot.run(waiting)
        pauses.pause(Kind.QUEUE, QUEUE)
        stale = pauses.current(fresh=True)
        pauses.resume(Kind.QUEUE, QUEUE)
        pauses._cache.pauses, pauses._cache.read_at = stale, clock.now()

    during(one_slot, pause_and_resume)
    assert held() == [waiting.id]


# --- what may go wrong around them ----------------------------------------------------------------


def test_a_job_that_may_have_to_wait_is_refused_by_a_runner_that_can_not_send_it_again(
    one_slot: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runners.sender", lambda: None)
    with pytest.raises(RunnerCannotResend, match="is in a queue with limits"):
        dispatch(one_slot, job_type="sample_once")


def test_a_runner_that_can_not_let_anybody_on_parks_nobody(bench: Bench) -> None:
    """Its job was dispatched before its queue had limits."""
    rows = [dispatch(bench, job_type="sample_once") for _ in range(2)]
    limits.put(QUEUE, slots=1)

    def run_without_send(row: JobRequest) -> JobRequest:
        deadline = clock.now() + 900_000
        execution.run(JobMessage.about(row), deadline=deadline, send=None)
        return bench.read(row)

    def work(job: Any, payload: object) -> None:
        if job.id == rows[0].id:
            ended.append(run_without_send(rows[1]))

    ended: list[JobRequest] = []
    script.job = work
    ended.append(run_without_send(rows[0]))
    assert [row.status for row in ended] == [Status.SUCCEEDED] * 2
    assert held() == []


def test_a_job_that_older_code_has_ended_takes_no_slot_with_it_when_it_is_retried(
    one_slot: Bench,
) -> None:
    lost, other = dispatch(one_slot), dispatch(one_slot)
    during(one_slot, lambda: one_slot.run(lost))
    ended = [JobRequest.status.set(Status.CANCELLED), JobRequest.due_at.remove()]
    expiry = JobRequest.expires_at.set(clock.now())
    finished = JobRequest.finished_at.set(clock.now())
    JobRequest(id=lost.id).update([*ended, finished, expiry])
    (slot,) = items("slot#")
    LineItem(slot["pk"], slot["sk"]).update([LineItem.holder.set(other.id)])
    again = owner_actions.retry_again(one_slot.read(lost), one_slot.send)
    assert (again.slot, again.admitted_at) == (None, None)
    assert one_slot.run(again).status is Status.WAITING
