"""Lanes: a backlog of one kind keeps no other kind waiting, and is sent as workers take it."""

import threading
from collections import Counter
from collections.abc import Callable
from typing import cast

import pytest
from botocore.exceptions import ConnectTimeoutError

from bench import Bench
from job_runners import clock
from job_runners.aws import clients
from job_runners.engine.lines import pausing
from job_runners.engine.registry.registry import registry
from job_runners.engine.schedules import recurring
from job_runners.engine.tick import due_row, timer
from job_runners.engine.tick.timer import Disposition
from job_runners.engine.wire.messages import Message
from job_runners.errors import PreconditionFailed
from job_runners.store import conditional_write, job_request, queries, schedule_marks, transitions
from job_runners.store.conditional_write import Change
from job_runners.store.job_request import JobRequest, Lane, Status, due_shard
from job_runners.store.pauses import Kind
from job_runners.work.definitions import Job
from sample_work import script

MINUTE = 60


def queued(bench: Bench, count: int) -> list[JobRequest]:
    """So many jobs, one after the other, whose messages were lost."""
    rows = []
    for _ in range(count):
        rows.append(bench.dispatch())
        bench.advance(0.01)
    return rows


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rows that were sent again may be unclaimed."""
    monkeypatch.setattr(timer, "MAX_UNCLAIMED", 2)


# --- what a backlog is sent like ------------------------------------------------------------------


def test_no_more_are_sent_again_than_may_be_unclaimed(bench: Bench, narrow: None) -> None:
    rows = queued(bench, 5)
    bench.advance(61)
    counts = bench.tick().counts
    assert counts == {Disposition.SENT: 2, Disposition.DEFERRED: 3}
    assert bench.sent_jobs == [row.id for row in rows[:2]]
    bench.advance(10)
    assert (bench.tick().unclaimed, len(bench.sent)) == (2, 2)


def test_those_that_wait_are_sent_in_their_order_as_workers_claim_those_before(
    bench: Bench, narrow: None
) -> None:
    rows = queued(bench, 6)
    bench.advance(61)
    bench.tick()
    for _ in range(4):
        bench.deliver()  # a worker is free, and takes what was sent
        bench.advance(1)
        bench.tick()
    assert [job for job, *_ in script.jobs_run] == [row.id for row in rows]


def test_who_waits_already_goes_before_who_comes_new(bench: Bench, narrow: None) -> None:
    first = queued(bench, 4)
    bench.advance(61)
    bench.tick()
    second = queued(bench, 3)
    bench.deliver()
    bench.advance(61)
    bench.tick()
    assert bench.sent_jobs == [row.id for row in first[2:]]
    bench.deliver()
    bench.tick()
    assert bench.sent_jobs == [row.id for row in second[:2]]


def test_who_has_to_start_sooner_is_sent_sooner(
    bench: Bench, narrow: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = cast(dict[str, Job], registry().jobs)
    hasty = Job(jobs["sample_once"].function, start_within=3600)
    monkeypatch.setitem(jobs, "sample_once", hasty)
    queued(bench, 4)
    urgent = bench.dispatch("sample_once")
    bench.advance(61)
    bench.tick()
    bench.deliver()
    bench.tick()
    assert bench.sent_jobs[0] == urgent.id


def test_one_that_waits_for_its_turn_fails_when_it_is_too_late(bench: Bench, narrow: None) -> None:
    rows = queued(bench, 4)
    bench.advance(61)
    bench.tick()
    bench.advance(24 * 3600)
    bench.tick()
    assert bench.read(rows[3]).error["kind"] == "NeverStarted"


def test_one_that_is_of_no_use_to_send_takes_nobodys_turn(
    bench: Bench, narrow: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = [bench.dispatch("sample_once") for _ in range(3)]
    row = bench.dispatch()
    bench.advance(61)
    with monkeypatch.context() as patched:
        patched.delitem(cast(dict[str, Job], registry().jobs), "sample_once")
        assert bench.tick().counts == {Disposition.UNKNOWN: 3, Disposition.SENT: 1}
        assert bench.sent_jobs == [row.id]
    bench.advance(3600)  # a deploy knows it again
    for _ in range(2):
        bench.tick()
        bench.deliver()
    assert {bench.read(each).status for each in gone} == {Status.SUCCEEDED}


def test_a_first_start_needs_no_room(bench: Bench, narrow: None) -> None:
    """Whatever backlog there is: at its time, a retry or one that was admitted starts."""
    queued(bench, 4)
    retried = bench.claim(bench.dispatch())
    pausing.pause(Kind.QUEUE, "other")
    held = bench.run(bench.dispatch(queue_name="other"))
    bench.advance(61)
    bench.tick()
    at = clock.now() + 30_000
    transitions.retry(bench.read(retried), {"kind": "Busy"}, run_at=at, due_at=at)
    scheduled = transitions.save(
        transitions.NewJob(
            job_type="sample_again",
            queue_name="default",
            organization_id="acme",
            payload={"number": 1},
            max_attempts=3,
            run_at=at,
            due_at=at,
        )
    ).after
    pausing.resume(Kind.QUEUE, "other", bench.send)
    bench.sent.clear()  # its message is lost
    bench.advance(91)
    bench.tick()
    assert {retried.id, scheduled.id, held.id} <= set(bench.sent_jobs)


# --- who does not wait for a backlog --------------------------------------------------------------


def fresh(bench: Bench) -> None:
    queued(bench, 8)


def resent(bench: Bench) -> None:
    queued(bench, 8)
    bench.advance(61)
    bench.tick()
    bench.advance(61)


def held(bench: Bench) -> None:
    pausing.pause(Kind.QUEUE, "other")
    for _ in range(8):
        bench.run(bench.dispatch(queue_name="other"))
    bench.advance(3600)


@pytest.mark.parametrize("backlog", [fresh, resent, held])
def test_a_backlog_keeps_no_start_and_no_rescue_waiting(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, backlog: Callable[[Bench], None]
) -> None:
    """A tick has time for four rows, and eight are due for longer."""
    dead = bench.claim(bench.dispatch(), seconds=30)
    transitions.postpone(
        dead, clock.now() + 90_000, Lane.PROMPT
    )  # as the timer has, that saw it run
    later = bench.dispatch(delay=2000)
    begun = clock.now()
    backlog(bench)
    bench.advance(2001 - min(2000, (clock.now() - begun) / 1000))
    bench.sent.clear()
    read = queries.read

    def slowly(job_id: str) -> JobRequest | None:
        bench.advance(1)
        return read(job_id)

    monkeypatch.setattr(due_row, "read", slowly)
    timer.tick(bench.send, until=clock.now() + 4_000)
    assert bench.read(dead).status is Status.RETRYABLE
    assert later.id in bench.sent_jobs


def test_of_more_than_a_tick_can_meet_it_meets_the_newest_too(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """8 jobs of one organisation were to start at nine, and one of another's at one past."""
    monkeypatch.setattr(timer, "_MAX_ROWS", 2)
    rows = [bench.dispatch(delay=2000 + number) for number in range(9)]
    bench.advance(2010)
    bench.tick()
    assert bench.sent_jobs == [rows[0].id, rows[8].id, rows[1].id, rows[7].id]


# --- a claim out of a backlog ---------------------------------------------------------------------


def test_a_claim_out_of_a_backlog_is_watched_from_the_end_of_its_lease(
    bench: Bench, narrow: None
) -> None:
    rows = queued(bench, 3)
    bench.advance(61)
    bench.tick()
    last = bench.read(rows[2])
    assert (last.due_at or 0) > clock.now() + 23 * clock.HOUR
    row = bench.claim(last)
    assert row.due_at == row.lease_until
    assert row.due_shard == due_shard(row.id, Lane.PROMPT)
    bench.advance(900 + 61)
    bench.tick()
    assert bench.read(row).status is Status.RETRYABLE


def test_a_claim_that_the_timer_should_have_seen_long_since_is_watched(bench: Bench) -> None:
    row = bench.dispatch()
    bench.advance(60 + 121)
    row = bench.claim(row)
    assert row.due_at == row.lease_until


def test_a_claim_that_the_timer_looks_at_in_time_is_one_write(bench: Bench) -> None:
    rows = queued(bench, 2)
    updates: list[str] = []
    clients.client("dynamodb").meta.events.register(
        "before-call.dynamodb.UpdateItem", lambda **_: updates.append("update")
    )
    bench.claim(rows[0])
    bench.advance(60 + 100)
    bench.claim(rows[1])
    assert len(updates) == 2


@pytest.mark.parametrize("error", [PreconditionFailed("postpone", "i", "gone", None), None])
def test_a_claim_holds_whatever_becomes_of_the_second_write(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, error: Exception | None
) -> None:
    row = bench.dispatch()
    bench.advance(1000)
    write = conditional_write.write

    def refusing(transition: str, *given: object, **named: object) -> Change:
        if transition == "postpone":
            raise error or ConnectTimeoutError(endpoint_url="dynamodb")
        return write(transition, *given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(conditional_write, "write", refusing)
    assert bench.claim(row).status is Status.RUNNING


# --- several threads ------------------------------------------------------------------------------


def test_a_tick_works_in_several_threads_and_sends_each_row_once(bench: Bench) -> None:
    rows = queued(bench, 12)
    bench.advance(61)
    together = threading.Barrier(4, timeout=60)
    sent: list[str] = []

    def send(message: Message, delay: float = 0) -> None:
        together.wait()
        sent.append(message.id)

    result = timer.tick(send, until=clock.now() + clock.MINUTE, threads=4)
    assert result.counts == {Disposition.SENT: 12}
    assert sorted(sent) == sorted(row.id for row in rows)


def test_rows_do_not_wait_for_occurrences_that_take_all_the_time(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued(bench, 1)
    bench.advance(61)
    was_sent = threading.Event()

    def start_due(*_: object, **__: object) -> Counter[recurring.Outcome]:
        return Counter({recurring.Outcome.STARTED: int(was_sent.wait(timeout=60))})

    def send(message: Message, delay: float = 0) -> None:
        was_sent.set()

    schedule_marks.note_deploy("a deploy", clock.now(), [])  # so that there may be schedules
    monkeypatch.setattr(recurring, "start_due", start_due)
    result = timer.tick(send, until=clock.now() + clock.MINUTE, threads=2)
    assert result.counts == {Disposition.SENT: 1}
    assert result.schedules == {recurring.Outcome.STARTED: 1}


def test_rows_are_counted_no_further_than_asked_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_request, "DUE_SHARDS", 1)
    [shard] = {row.due_shard for row in queued(bench, 5)}
    asked: list[int] = []
    clients.client("dynamodb").meta.events.register(
        "provide-client-params.dynamodb.Query", lambda params, **_: asked.append(params["Limit"])
    )
    counts = [queries.count_due(str(shard), after=0, limit=most) for most in (2, 5, 9)]
    assert (counts, asked) == ([2, 5, 5], [2, 5, 9])
