"""Pause and resume: nothing starts, nothing is lost, all goes on in order."""

from typing import Any

import pytest

from bench import Bench
from job_runners import clock
from job_runners.aws import clients
from job_runners.engine.control import caller_actions
from job_runners.engine.lines import pausing
from job_runners.engine.running import gates
from job_runners.engine.tick import timer
from job_runners.errors import SendFailed, UnknownJobType
from job_runners.store import pauses, queries, transitions
from job_runners.store.job_request import JobRequest, Status
from job_runners.store.pauses import Kind
from sample_work import script


def test_a_paused_job_type_is_not_started_and_waits(bench: Bench) -> None:
    pausing.pause(Kind.JOB_TYPE, "sample_again")
    row = bench.run(bench.dispatch())
    assert row.status is Status.WAITING
    assert (row.due_at or 0) > clock.now()
    assert bench.run(bench.dispatch("sample_once")).status is Status.SUCCEEDED


def test_a_job_asked_for_again_while_its_message_is_looked_at_is_not_started_in_a_pause(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could not start when it was read may be one that can when its claim is written."""
    row = bench.dispatch()
    caller_actions.cancel(row)
    pausing.pause(Kind.JOB_TYPE, "sample_again")
    read = queries.read

    def read_before_it_is_queued(job_id: str) -> JobRequest | None:
        seen = read(job_id)
        caller_actions.retry_again(bench.read(row), bench.send)
        return seen

    monkeypatch.setattr(gates, "read", read_before_it_is_queued)
    bench.run(row)
    assert bench.read(row).status is Status.QUEUED


def test_pausing_twice_keeps_the_time_of_the_first(bench: Bench) -> None:
    first = pausing.pause(Kind.QUEUE, "texts")
    bench.advance(100)
    assert pausing.pause(Kind.QUEUE, "texts").changed_at == first.changed_at
    pausing.resume(Kind.QUEUE, "texts", bench.send)
    assert pausing.pause(Kind.QUEUE, "texts").changed_at > first.changed_at


def test_a_paused_queue_holds_every_type_in_it(bench: Bench) -> None:
    pausing.pause(Kind.QUEUE, "texts")
    for job_type in ("sample_once", "sample_again"):
        held = bench.run(bench.dispatch(job_type, queue_name="texts"))
        assert held.status is Status.WAITING
        assert bench.run(bench.dispatch(job_type)).status is Status.SUCCEEDED


def test_resuming_starts_what_waited_in_the_order_it_was_created(bench: Bench) -> None:
    pausing.pause(Kind.JOB_TYPE, "sample_again")
    rows = []
    for _ in range(5):
        rows.append(bench.dispatch())
        bench.advance(1)
    for row in reversed(rows):
        bench.run(row)
    pausing.resume(Kind.JOB_TYPE, "sample_again", bench.send)
    assert bench.sent_jobs == [row.id for row in rows]
    assert bench.deliver() == 5
    assert {bench.read(row).status for row in rows} == {Status.SUCCEEDED}


def test_a_resumed_job_has_its_whole_time_to_start(bench: Bench) -> None:
    row = bench.dispatch()
    bench.advance(600)
    pausing.pause(Kind.JOB_TYPE, "sample_again")
    bench.run(row)
    bench.advance(60)
    resumed_at = clock.now()
    pausing.resume(Kind.JOB_TYPE, "sample_again", bench.send)
    assert bench.read(row).could_run_at >= resumed_at


def test_resuming_many_is_no_stampede(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The resume admits a few, and each tick as many as it can take; nothing is sent twice."""
    pausing.pause(Kind.JOB_TYPE, "sample_again")
    rows = [bench.run(bench.dispatch()) for _ in range(60)]
    pausing.resume(Kind.JOB_TYPE, "sample_again", bench.send)
    assert len(bench.sent_jobs) == 25
    with monkeypatch.context() as patched:
        patched.setattr(timer, "_MAX_ROWS", 20)
        bench.tick()
    assert len(bench.sent_jobs) == 45
    bench.tick()
    assert sorted(bench.sent_jobs) == sorted(row.id for row in rows)
    bench.deliver()
    bench.advance(3 * 3600)
    bench.tick()
    assert not bench.sent


def test_a_pause_that_ended_is_forgotten_once_nothing_is_left_of_it(bench: Bench) -> None:
    pausing.pause(Kind.QUEUE, "default")
    bench.run(bench.dispatch())
    pausing.resume(Kind.QUEUE, "default", bench.send)
    bench.advance(60)
    bench.tick()
    assert pauses.current(fresh=True).all  # a worker may not have heard of it yet
    bench.advance(120)
    bench.tick()
    assert not pauses.current(fresh=True).all


def test_a_running_job_waits_from_its_checkpoint_on(bench: Bench) -> None:
    def work(job: Any, payload: object) -> str:
        if job.cursor is None:
            pausing.pause(Kind.JOB_TYPE, "sample_again")
            bench.advance(11)  # the flags are read anew
            job.checkpoint("here", progress=40)
            raise AssertionError("it went on")
        return str(job.cursor)

    script.job = work
    row = bench.run(bench.dispatch())
    assert (row.status, row.cursor, row.progress) == (Status.WAITING, "here", 40)
    pausing.resume(Kind.JOB_TYPE, "sample_again", bench.send)
    bench.deliver()
    assert bench.read(row).status is Status.SUCCEEDED
    assert bench.read(row).attempt == 1


def test_a_running_job_that_could_not_resume_runs_on(bench: Bench) -> None:
    def work(job: Any, payload: object) -> str:
        pausing.pause(Kind.JOB_TYPE, "sample_again")
        bench.advance(11)
        job.checkpoint(progress=40)
        return "done"

    script.job = work
    assert bench.run(bench.dispatch()).status is Status.SUCCEEDED


def test_a_job_that_may_be_paused_and_is_not_costs_no_look_at_the_pauses(bench: Bench) -> None:
    pausing.pause(Kind.QUEUE, "another")
    row = bench.dispatch()
    pauses.current()  # which a process reads once in 10 s
    queries: list[str] = []
    clients.client("dynamodb").meta.events.register(
        "before-call.dynamodb.Query", lambda **_: queries.append("Query")
    )
    assert bench.run(row).status is Status.SUCCEEDED
    assert not queries


def test_a_late_message_about_a_job_that_could_not_start_holds_nothing(bench: Bench) -> None:
    finished, later = bench.run(bench.dispatch()), bench.dispatch(delay=600)
    bench.sent.clear()
    pausing.pause(Kind.JOB_TYPE, "sample_again")
    assert bench.run(finished).status is Status.SUCCEEDED
    assert bench.run(later).status is Status.SCHEDULED
    assert [round(delay) for _, delay in bench.sent] == [600]


def test_a_pause_is_heard_everywhere_after_ten_seconds(bench: Bench) -> None:
    bench.run(bench.dispatch())
    pauses.Pause(sk="job_type#sample_again", state="paused", changed_at=clock.now()).save()
    bench.advance(10)
    assert bench.run(bench.dispatch()).status is Status.WAITING


def test_the_timer_holds_back_what_becomes_due(bench: Bench) -> None:
    pausing.pause(Kind.JOB_TYPE, "sample_again")
    queued, scheduled = bench.dispatch(), bench.dispatch(delay=1000)
    script.job = lambda job, payload: 1 / 0
    bench.advance(1100)
    counts = bench.tick().counts
    assert counts[timer.Disposition.HELD] == 2
    assert not bench.sent
    assert {bench.read(each).status for each in (queued, scheduled)} == {Status.WAITING}


def test_time_held_counts_against_no_limit(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    row = bench.claim(bench.dispatch())
    started = row.attempt_started_at or 0
    pauses.pause(Kind.JOB_TYPE, "sample_again")
    never_started = bench.run(bench.dispatch())
    here = transitions.Checkpoint("here", 10, None)
    pausing.hold_under_pause(next(pauses.current().paused()), row, here)
    bench.advance(29 * 24 * 3600)
    bench.tick()
    assert bench.read(never_started).status is Status.WAITING  # start_within is a day
    pausing.resume(Kind.JOB_TYPE, "sample_again", bench.send)
    assert bench.read(never_started).status is Status.QUEUED
    resumed = bench.read(row)
    assert (resumed.attempt_started_at or 0) - started >= 29 * clock.DAY
    bench.deliver()
    assert bench.read(never_started).status is Status.SUCCEEDED


def test_what_is_held_for_more_than_30_days_fails_and_says_why(bench: Bench) -> None:
    pausing.pause(Kind.JOB_TYPE, "sample_again")
    row = bench.run(bench.dispatch())
    bench.advance(30 * 24 * 3600 + 3600)
    bench.tick()
    row = bench.read(row)
    assert (row.status, row.error["kind"]) == (Status.FAILED, "PauseExpired")


def test_a_job_held_by_two_pauses_waits_for_both(bench: Bench) -> None:
    pausing.pause(Kind.JOB_TYPE, "sample_again")
    pausing.pause(Kind.QUEUE, "default")
    row = bench.run(bench.dispatch())
    assert row.held_by == "job_type#sample_again"
    pausing.resume(Kind.JOB_TYPE, "sample_again", bench.send)
    row = bench.read(row)
    assert (row.status, row.held_by) == (Status.WAITING, "queue#default")
    pausing.resume(Kind.QUEUE, "default", bench.send)
    assert bench.sent_jobs == [row.id]


def test_a_canceled_job_is_not_let_go(bench: Bench) -> None:
    pausing.pause(Kind.QUEUE, "default")
    row = bench.run(bench.dispatch())
    assert caller_actions.cancel(row).status is Status.CANCELED
    pausing.resume(Kind.QUEUE, "default", bench.send)
    assert not bench.sent


def test_a_job_that_its_pause_lost_sight_of_goes_on_within_the_hour(bench: Bench) -> None:
    pausing.pause(Kind.QUEUE, "default")
    row = bench.run(bench.dispatch())
    for entry in pauses.held_entries(next(pauses.current().paused()), 10):
        entry.delete()
    pausing.resume(Kind.QUEUE, "default", bench.send)
    assert not bench.sent
    bench.advance(2 * 3600)
    assert bench.tick().counts == {timer.Disposition.ADMITTED: 1}
    assert bench.sent_jobs == [row.id]


def test_a_worker_that_can_not_be_reached_stops_the_letting_go_and_loses_nothing(
    bench: Bench,
) -> None:
    pausing.pause(Kind.QUEUE, "default")
    rows = [bench.run(bench.dispatch()) for _ in range(3)]
    tried: list[str] = []

    def unreachable(message: Any, delay: float = 0) -> None:
        tried.append(message.id)
        raise SendFailed("it", "throttled")

    pausing.resume(Kind.QUEUE, "default", unreachable)
    assert len(tried) == 1
    bench.advance(61)
    bench.tick()
    assert sorted(bench.sent_jobs) == sorted(row.id for row in rows)


def test_only_what_exists_can_be_paused_and_resuming_what_is_not_paused_does_nothing(
    bench: Bench,
) -> None:
    with pytest.raises(UnknownJobType, match="Did you mean"):
        pausing.pause(Kind.JOB_TYPE, "sample_agian")
    pausing.resume(Kind.QUEUE, "default", bench.send)
    assert not pauses.current(fresh=True).all
