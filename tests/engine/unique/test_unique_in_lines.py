"""A job that is unique and waits, in a line or a backlog: what is asked for later has the line of
its own payload, and all of its time to start."""

from collections.abc import Callable
from typing import Any

import pytest

from bench import Bench
from job_runners import clock
from job_runners.engine.control import caller_actions
from job_runners.engine.tick import due_row
from job_runners.errors import PreconditionFailed
from job_runners.store import lines, pauses, transitions
from job_runners.store.conditional_write import Change
from job_runners.store.job_request import JobRequest, Status
from job_runners.store.limits import Limits
from job_runners.store.pauses import Kind
from job_runners.testing.aws import forget
from outage import Outage
from sample_work import script

TWO_MINUTES, TEN_MINUTES = 120, 600


@pytest.fixture
def bench(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setenv("JOBS_PACKAGES", "sample_work,unique_sample")
    monkeypatch.setattr(due_row, "_start_within", lambda row: float(TWO_MINUTES))
    forget()
    return bench


def ask(bench: Bench, text: str, job_type: str = "unique_replace", **more: Any) -> JobRequest:
    return bench.dispatch(job_type, payload={"lot": "a", "text": text}, **more)


def while_one_runs(bench: Bench, queue_name: str, act: Callable[[], Any], text: str = "") -> None:
    """Have something happen while another job has the slot of a queue."""

    def work(job: Any, payload: object) -> None:
        script.job = lambda job, payload: None
        act()

    script.job = work
    runs = bench.dispatch("sample_once", payload={"text": text}, queue_name=queue_name)
    assert bench.run(runs).status is Status.SUCCEEDED  # or what it asserts is not so


def lost(bench: Bench, seconds: float) -> None:
    """No worker takes a message for so long, and the timer looks once a minute."""
    for _ in range(int(seconds // 60)):
        bench.advance(60)
        bench.sent.clear()
        bench.tick()
    bench.advance(seconds % 60)


# --- the line of its payload ----------------------------------------------------------------------


def test_one_that_follows_comes_into_the_line_of_the_payload_it_is_given(bench: Bench) -> None:
    in_line = {"job_type": "unique_follow", "queue_name": "sample_texts"}
    first = ask(bench, "x", **in_line)
    script.job = lambda job, payload: [ask(bench, text, **in_line) for text in ("x", "y")]
    bench.run(first)
    (follower,) = bench.sent_jobs
    assert bench.read(follower).concurrency_key == "y"
    waits: list[Status] = []
    while_one_runs(
        bench, "sample_texts", lambda: waits.append(bench.run(bench.read(follower)).status), "y"
    )
    assert waits == [Status.WAITING]
    bench.deliver()
    assert script.texts_run == ["x", "y"]


def test_one_that_is_replaced_where_there_are_no_limits_is_in_no_line(bench: Bench) -> None:
    first, again = ask(bench, "x"), ask(bench, "y")
    assert (again.id, again.concurrency_key) == (first.id, None)


def test_one_that_is_given_the_payload_of_another_line_is_not_started_in_the_first(
    bench: Bench,
) -> None:
    """A worker has read its row, and found room there."""
    seen = ask(bench, "x", queue_name="sample_texts")
    grant = lines.read_line("sample_texts", "x", Limits(slots=1)).grant("")
    ask(bench, "y")
    with pytest.raises(PreconditionFailed):
        transitions.claim(
            seen.id,
            job_type=seen.job_type,
            send_id="s",
            deadline=clock.now() + clock.MINUTE,
            entrance=transitions.Entrance(seen, "x", grant),
        )
    assert lines.read_line("sample_texts", "x", None).held_slots == []


@pytest.mark.parametrize(("text", "status"), [("x", Status.WAITING), ("y", Status.QUEUED)])
def test_while_limits_cannot_be_read_it_leaves_its_line_for_another_alone(
    bench: Bench, outage: Outage, text: str, status: Status
) -> None:
    row = ask(bench, "x", queue_name="sample_texts")

    def meanwhile() -> None:
        assert bench.run(row).status is Status.WAITING
        bench.advance(11)
        outage.begin("throttled", only="Query")
        again = ask(bench, text)
        outage.end()
        assert (again.id, again.concurrency_key, again.status) == (row.id, text, status)

    while_one_runs(bench, "sample_texts", meanwhile, "x")


# --- the time it has to start ---------------------------------------------------------------------


@pytest.mark.parametrize("delay", [0, 300])
def test_one_that_is_replaced_in_its_line_has_all_its_time_to_start(
    bench: Bench, delay: int
) -> None:
    row = ask(bench, "old", queue_name="sample_slots", delay=delay)
    bench.advance(delay)

    def meanwhile() -> None:
        assert bench.run(row).status is Status.WAITING
        bench.advance(30)
        assert ask(bench, "new").status is Status.WAITING

    bench.advance(TWO_MINUTES - 10)
    while_one_runs(bench, "sample_slots", meanwhile)
    assert bench.read(row).status is Status.QUEUED
    lost(bench, TWO_MINUTES - 10)
    assert bench.run(row).status is Status.SUCCEEDED
    assert script.texts_run == ["new"]


def test_one_that_is_replaced_in_a_backlog_has_all_its_time_to_start(bench: Bench) -> None:
    row = ask(bench, "old")
    lost(bench, TWO_MINUTES - 10)
    ask(bench, "new")
    lost(bench, TWO_MINUTES - 10)
    assert bench.read(row).status is Status.QUEUED
    lost(bench, 2 * TWO_MINUTES)
    assert bench.read(row).status is Status.FAILED  # in the end


def test_one_that_is_admitted_and_replaced_keeps_its_slot_and_has_all_its_time(
    bench: Bench,
) -> None:
    row = ask(bench, "old", queue_name="sample_slots")
    while_one_runs(bench, "sample_slots", lambda: bench.run(row))
    admitted = bench.read(row)
    lost(bench, TWO_MINUTES - 10)
    again = ask(bench, "new")
    assert (again.slot, again.is_admitted) == (1, True)
    (slot,) = lines.read_line("sample_slots", "*", None).held_slots
    assert slot.holder == row.id
    assert again.admitted_at == admitted.admitted_at  # or one asked for all the time would keep it
    lost(bench, TWO_MINUTES - 10)
    assert bench.run(row).status is Status.SUCCEEDED
    assert lines.read_line("sample_slots", "*", None).held_slots == []
    assert script.texts_run == ["new"]


def test_one_that_is_admitted_and_postponed_gives_its_slot_to_the_next(bench: Bench) -> None:
    row = ask(bench, "old", queue_name="sample_slots")
    waiting = bench.dispatch("sample_once", queue_name="sample_slots")
    while_one_runs(bench, "sample_slots", lambda: (bench.run(row), bench.run(waiting)))
    assert bench.read(row).slot == 1
    assert ask(bench, "new", delay=300).slot is None
    assert (bench.read(waiting).status, bench.read(waiting).slot) == (Status.QUEUED, 1)


def test_one_that_is_followed_gives_back_its_slot_and_hands_on_its_key_at_once(
    bench: Bench,
) -> None:
    in_line = {"job_type": "unique_follow", "queue_name": "sample_texts"}
    first = ask(bench, "x", **in_line)
    script.job = lambda job, payload: ask(bench, "x", **in_line)
    assert bench.run(first).status is Status.SUCCEEDED
    assert lines.read_line("sample_texts", "x", None).held_slots == []


# --- behind one that is stopped as it would wait --------------------------------------------------


def sent_behind(bench: Bench, work: Callable[[Any], None]) -> list[str]:
    """Return who is sent when a job works, is asked to stop and ends; one job follows it."""

    def working(job: Any, payload: object) -> None:
        followers.append(ask(bench, "2", "unique_follow").id)
        work(job)

    followers: list[str] = []
    script.job = working
    first = ask(bench, "1", "unique_follow", queue_name="sample_texts")
    assert bench.run(first).status is Status.CANCELED
    assert bench.read(followers[0]).status is Status.QUEUED
    assert bench.sent_jobs in (followers, [])
    return bench.sent_jobs


def test_one_that_is_canceled_as_it_gives_up_its_turn_has_the_next_sent(bench: Bench) -> None:
    def turn(job: Any) -> None:
        caller_actions.cancel(bench.read(job.id))
        job.next_turn(1)

    assert sent_behind(bench, turn)


def test_one_that_is_canceled_as_it_meets_a_pause_has_the_next_sent(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = transitions.hold

    def canceled_before(row: JobRequest, *asked: Any, **more: Any) -> Change:
        caller_actions.cancel(bench.read(row.id))  # once it knows of the pause
        return hold(row, *asked, **more)

    def pause(job: Any) -> None:
        pauses.pause(Kind.JOB_TYPE, "unique_follow")
        bench.advance(11)
        job.checkpoint(1)

    monkeypatch.setattr(transitions, "hold", canceled_before)
    assert sent_behind(bench, pause)
