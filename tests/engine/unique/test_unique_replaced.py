"""A job that is unique and has not begun takes what is asked for later; or one more follows it."""

from collections.abc import Callable
from copy import copy
from datetime import UTC, datetime
from typing import Any

import pytest

import unique_sample
from bench import Bench
from job_runners import clock
from job_runners.engine.control import caller_actions
from job_runners.engine.lines import pausing
from job_runners.engine.tick import timer
from job_runners.errors import IdempotencyConflict, PreconditionFailed
from job_runners.store import job_request, lines, pauses, uniqueness
from job_runners.store.conditional_write import Change
from job_runners.store.job_request import (
    DuplicateAnswer,
    DuplicateOutcome,
    JobRequest,
    Lane,
    Status,
)
from job_runners.store.pauses import Kind
from job_runners.store.transitions import replacing
from job_runners.store.transitions.claiming import Entrance, claim
from job_runners.store.transitions.saving import NewJob
from job_runners.testing import moto_direct
from job_runners.testing.aws import forget
from job_runners.work import Job, Retry, Unique
from large_payloads import LARGE, objects
from sample_work import script


@pytest.fixture
def bench(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setenv("JOBS_PACKAGES", "sample_work,unique_sample")
    forget()
    return bench


def ask(bench: Bench, text: str, job_type: str = "unique_replace", **more: Any) -> JobRequest:
    return bench.dispatch(job_type, payload={"lot": "a", "text": text}, **more)


def keys() -> list[dict[str, Any]]:
    return [row for row in moto_direct.rows("coordination") if row["pk"].startswith("unique#")]


# --- the payload and the time ---------------------------------------------------------------------


def test_one_that_has_not_begun_takes_the_new_payload(bench: Bench) -> None:
    first, second = ask(bench, "old"), ask(bench, "new")
    assert (second.id, (how := bench.duplicate(second)) and how.outcome) == (
        first.id,
        DuplicateAnswer.REPLACED,
    )
    assert second.work_ids == [first.created_key]
    bench.run(first)
    assert script.texts_run == ["new"]
    assert keys() == []


def test_with_a_delay_it_is_put_off_and_never_beyond_at_most(bench: Bench) -> None:
    first = ask(bench, "0", delay=60)
    latest = (first.run_at or 0) + 600_000
    for number in range(1, 21):
        bench.advance(30)
        row = ask(bench, str(number), delay=60)
        assert row.id == first.id
        assert row.run_at == min(latest, row.run_at or 0)
    assert row.run_at == latest
    bench.advance(61)
    bench.run(first)
    assert script.texts_run == ["20"]


def test_what_might_have_started_an_hour_ago_is_put_off_from_when_it_was_asked_for(
    bench: Bench,
) -> None:
    asked_at = clock.now()
    ask(bench, "1", run_at=datetime.fromtimestamp(asked_at / clock.SECOND - 3600, UTC))
    bench.advance(300)
    assert ask(bench, "2", delay=500).run_at == pytest.approx(asked_at + 600_000, abs=clock.SECOND)


@pytest.mark.parametrize("manually", [False, True])
def test_the_time_in_which_it_was_paused_counts_too(bench: Bench, manually: bool) -> None:
    first = ask(bench, "1")
    if manually:
        caller_actions.cancel(first)
        bench.advance(5000)  # what was before a manual retry does not count
        caller_actions.retry_again(bench.read(first), bench.send)
    row = bench.read(first)
    began = row.first_run_at or 0
    assert began - (row.queued_at or 0) < clock.SECOND  # one write, which reads the clock twice
    pausing.pause(Kind.JOB_TYPE, "unique_replace")
    bench.advance(11)
    assert bench.run(first).status is Status.WAITING
    bench.advance(400)
    pausing.resume(Kind.JOB_TYPE, "unique_replace", bench.send)
    assert ask(bench, "2", delay=500).run_at == began + 600_000
    bench.advance(300)
    assert ask(bench, "3", delay=500).status is Status.QUEUED  # long overdue


def test_one_without_a_delay_is_started_at_once(bench: Bench) -> None:
    ask(bench, "old", delay=600)
    row = ask(bench, "new")
    assert (row.status, row.run_at, bench.duplicate(row)) == (
        Status.QUEUED,
        None,
        DuplicateOutcome(DuplicateAnswer.REPLACED, is_sent=False),
    )


@pytest.mark.parametrize(("before", "after", "lane"), [(60, 0, Lane.QUEUED), (0, 60, Lane.PROMPT)])
def test_it_is_due_beside_those_that_wait_as_it_does_now(
    bench: Bench, before: int, after: int, lane: Lane
) -> None:
    first = ask(bench, "old", delay=before)
    assert ask(bench, "new", delay=after).due_shard == job_request.due_shard(first.id, lane)


def test_it_keeps_its_place_in_its_line_if_it_is_of_the_same(bench: Bench) -> None:
    held, other = (bench.dispatch("sample_once", queue_name="sample_slots") for _ in range(2))
    row = ask(bench, "old", queue_name="sample_slots")
    script.job = lambda job, payload: bench.run(row)
    bench.run(held)
    assert bench.read(row).status is Status.QUEUED  # its turn came when that one ended
    assert ask(bench, "new").admitted_at is not None
    assert other.status is Status.QUEUED


def test_one_that_comes_into_another_line_leaves_the_first(bench: Bench) -> None:
    def busy(job: Any, payload: object) -> None:
        script.job = lambda job, payload: None
        row = ask(bench, "x", queue_name="sample_texts")
        assert bench.run(row).status is Status.WAITING
        moved = ask(bench, "y")
        assert (moved.status, moved.concurrency_key) == (Status.QUEUED, "y")
        assert lines.read_line("sample_texts", "x", None).first is None
        assert bench.run(moved).status is Status.SUCCEEDED

    script.job = busy
    bench.run(bench.dispatch("sample_once", payload={"text": "x"}, queue_name="sample_texts"))
    assert script.texts_run == ["y"]


def test_one_that_is_admitted_and_put_off_gives_back_its_slot(bench: Bench) -> None:
    held = bench.dispatch("sample_once", queue_name="sample_slots")
    row = ask(bench, "old", queue_name="sample_slots")
    script.job = lambda job, payload: bench.run(row)
    bench.run(held)
    assert bench.read(row).slot == 1
    assert ask(bench, "new", delay=60).slot is None
    assert lines.read_line("sample_slots", "*", None).held_slots == []


def test_one_that_is_paused_stays_so(bench: Bench) -> None:
    row = ask(bench, "old")
    pauses.pause(Kind.JOB_TYPE, "unique_replace")
    assert bench.run(row).status is Status.WAITING
    assert ask(bench, "new").status is Status.WAITING
    assert ask(bench, "later", delay=60).status is Status.SCHEDULED
    assert not [each for each in moto_direct.rows("coordination") if each["pk"].startswith("held#")]


def test_one_that_has_begun_is_returned(bench: Bench) -> None:
    first = ask(bench, "old")
    bench.claim(first)
    assert bench.duplicate(ask(bench, "new")) == DuplicateOutcome(DuplicateAnswer.RETURNED)


def test_one_that_is_retried_manually_begins_anew_with_another_payload(bench: Bench) -> None:
    first = ask(bench, "old")

    def fail(job: Any, payload: object) -> None:
        job.step("one", lambda: 1)
        bench.advance(10)
        job.checkpoint(5)
        raise ZeroDivisionError

    script.job = fail
    bench.run(first)
    caller_actions.retry_again(bench.read(first), bench.send)
    ask(bench, "new")
    row = bench.read(first)
    assert (row.cursor, row.progress, row.restarts, row.resumes) == (None, 0, 1, None)
    steps: list[int] = []
    script.job = lambda job, payload: steps.append(job.step("one", lambda: 2))
    bench.run(row)
    assert steps == [2]


def test_the_same_request_again_does_not_bring_back_its_payload(bench: Bench) -> None:
    first = ask(bench, "1")
    ask(bench, "2", idempotency_key="k")
    ask(bench, "3")
    again = ask(bench, "2", idempotency_key="k")
    assert (again.id, bench.duplicate(again)) == (
        first.id,
        DuplicateOutcome(DuplicateAnswer.REPLACED, is_repeated=True),
    )
    bench.run(first)
    assert script.texts_run == ["3"]


def test_the_same_request_again_is_the_job_that_it_made(bench: Bench) -> None:
    first = ask(bench, "1", idempotency_key="k")
    assert ask(bench, "1", idempotency_key="k").id == first.id
    with pytest.raises(IdempotencyConflict):
        ask(bench, "2", idempotency_key="k")
    ask(bench, "3")
    again = ask(bench, "1", idempotency_key="k")
    assert (again.id, bench.duplicate(again)) == (first.id, None)
    bench.run(first)
    assert script.texts_run == ["3"]


def test_the_same_request_again_is_the_job_that_follows(bench: Bench) -> None:
    first = ask(bench, "first", "unique_follow")
    bench.claim(first)
    second = ask(bench, "2", "unique_follow", idempotency_key="k")
    again = ask(bench, "2", "unique_follow", idempotency_key="k")
    assert (again.id, bench.duplicate(again)) == (
        second.id,
        DuplicateOutcome(DuplicateAnswer.FOLLOWS, is_repeated=True),
    )


def test_the_same_request_again_follows_though_it_was_admitted(bench: Bench) -> None:
    first = ask(bench, "1", "unique_follow")
    script.job = lambda job, payload: asked.append(
        ask(bench, "2", "unique_follow", idempotency_key="k")
    )
    asked: list[JobRequest] = []
    bench.run(first)
    script.job = lambda job, payload: None
    for _ in range(2):  # admitted, then done
        again = ask(bench, "2", "unique_follow", idempotency_key="k")
        assert (again.id, bench.duplicate(again)) == (
            asked[0].id,
            DuplicateOutcome(DuplicateAnswer.FOLLOWS, is_repeated=True),
        )
        bench.run(again)
    assert script.texts_run == ["1", "2"]


# --- large payloads -------------------------------------------------------------------------------


def test_the_object_of_a_payload_that_was_replaced_is_deleted(bench: Bench) -> None:
    first = ask(bench, f"1{LARGE}")
    (old,) = objects()
    ask(bench, f"2{LARGE}")
    (new,) = objects()
    assert new != old
    ask(bench, "small")
    assert objects() == []
    ask(bench, f"3{LARGE}")
    bench.run(first)
    assert script.texts_run == [f"3{LARGE}"]


def test_the_same_large_payload_again_is_not_lost(bench: Bench) -> None:
    first = ask(bench, LARGE)
    ask(bench, LARGE)
    ask(bench, LARGE)
    assert len(objects()) == 1
    bench.run(first)
    assert script.texts_run == [LARGE]


# --- one more follows -----------------------------------------------------------------------------


def follow(bench: Bench, *texts: str) -> tuple[JobRequest, list[JobRequest]]:
    """Return a job that ran, and what was asked for meanwhile."""
    first = ask(bench, "first", "unique_follow")
    asked: list[JobRequest] = []

    def meanwhile(job: Any, payload: Any) -> None:
        if payload.text == "first":
            asked.extend(ask(bench, text, "unique_follow") for text in texts)

    script.job = meanwhile
    bench.run(first)
    return bench.read(first), asked


def test_one_follows_the_one_that_runs_and_takes_the_latest_payload(bench: Bench) -> None:
    first, (second, third) = follow(bench, "second", "third")
    assert bench.duplicate(second) == DuplicateOutcome(DuplicateAnswer.FOLLOWS)
    assert second.id == third.id != first.id
    assert bench.sent_jobs == [second.id]  # by the end of the first
    (record,) = keys()
    assert (record["holder"], record.get("follower")) == (second.created_key, None)
    bench.deliver()
    assert script.texts_run == ["first", "third"]
    assert keys() == []


def test_one_that_follows_waits_for_the_end_of_the_other(bench: Bench) -> None:
    first = ask(bench, "first", "unique_follow")
    bench.claim(first)
    row = ask(bench, "second", "unique_follow")
    assert (row.status, row.follows) == (Status.WAITING, first.created_key)
    bench.advance(700)
    assert bench.tick().counts == {timer.Disposition.LEASED: 1, timer.Disposition.HELD: 1}
    assert bench.read(row).status is Status.WAITING
    bench.advance(400)
    bench.tick()  # the lease of the first is over
    assert bench.read(row).status is Status.QUEUED


def test_one_that_follows_with_a_delay_waits_for_its_time_too(bench: Bench) -> None:
    first = ask(bench, "first", "unique_follow")
    asked: list[JobRequest] = []

    def meanwhile(job: Any, payload: Any) -> None:
        asked.append(ask(bench, "second", "unique_follow", delay=300))
        script.job = lambda job, payload: None

    script.job = meanwhile
    bench.run(first)
    row = bench.read(asked[0])
    assert row.status is Status.SCHEDULED
    ((_, delay),) = bench.sent
    assert 290 < delay <= 300
    bench.run_out()
    assert script.texts_run == ["first", "second"]


def test_one_that_follows_and_is_put_off_waits_for_the_end_of_the_other_still(bench: Bench) -> None:
    first = ask(bench, "first", "unique_follow")
    bench.claim(first)
    ask(bench, "second", "unique_follow")
    row = ask(bench, "third", "unique_follow", delay=60)
    assert (row.status, row.follows) == (Status.WAITING, first.created_key)
    assert (row.run_at or 0) > clock.now()


def test_one_that_follows_and_is_canceled_leaves_its_place(bench: Bench) -> None:
    first = ask(bench, "first", "unique_follow")
    bench.claim(first)
    second = ask(bench, "second", "unique_follow")
    caller_actions.cancel(second)
    assert "follower" not in keys()[0]
    third = ask(bench, "third", "unique_follow")
    assert third.id not in (first.id, second.id)
    caller_actions.cancel(third)
    bench.advance(1000)
    bench.tick()
    assert keys() == []


def test_one_whose_first_ended_without_letting_it_on_is_found_by_the_timer(bench: Bench) -> None:
    first = ask(bench, "first", "unique_follow")
    bench.claim(first)
    second = ask(bench, "second", "unique_follow")
    first.update([JobRequest.status.set(Status.CANCELED), JobRequest.due_at.remove()])
    bench.advance(700)
    assert bench.tick().counts == {timer.Disposition.ADMITTED: 1}
    assert bench.read(second).status is Status.QUEUED
    assert keys()[0]["holder"] == second.created_key


def test_a_new_request_admits_first_the_one_that_follows(bench: Bench) -> None:
    first = ask(bench, "first", "unique_follow")
    bench.claim(first)
    second = ask(bench, "second", "unique_follow")
    first.update([JobRequest.status.set(Status.CANCELED), JobRequest.due_at.remove()])
    third = ask(bench, "third", "unique_follow")
    assert (third.id, third.status) == (second.id, Status.QUEUED)


def test_a_job_ends_though_its_record_is_in_nobodys_hands(bench: Bench) -> None:
    first = ask(bench, "first", "unique_follow")

    def lose(job: Any, payload: object) -> None:
        ask(bench, "second", "unique_follow")
        uniqueness.KeyRecord(f"unique#{first.unique_key}", "holder").delete()

    script.job = lose
    assert bench.run(first).status is Status.SUCCEEDED
    script.job = lambda job, payload: None
    bench.advance(700)
    bench.tick()
    bench.deliver()
    assert script.texts_run == ["first", "second"]


# --- while others are at it -----------------------------------------------------------------------


@pytest.fixture
def until_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add a type that is unique until it is started."""
    rule = Unique(by=("lot",), until="started", on_conflict="replace")
    monkeypatch.setitem(unique_sample.JOBS, "unique_until", Job(unique_sample.work, unique=rule))
    forget()


def before_the_next_replace(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], Any]) -> None:
    """Have something happen between the look and the write of a request that replaces."""
    replace = replacing.replace

    def after_that(*asked: Any) -> Change:
        monkeypatch.setattr(replacing, "replace", replace)
        happens()
        return replace(*asked)

    monkeypatch.setattr(replacing, "replace", after_that)


@pytest.mark.usefixtures("until_started")
@pytest.mark.parametrize("key", [None, "k"])
@pytest.mark.parametrize(
    ("job_type", "outcome"),
    [
        ("unique_follow", DuplicateAnswer.FOLLOWS),
        ("unique_replace", DuplicateAnswer.RETURNED),
        ("unique_until", None),
    ],
)
def test_the_same_payload_is_not_taken_for_done_by_a_job_that_begins_meanwhile(
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
    job_type: str,
    outcome: DuplicateAnswer | None,
    key: str | None,
) -> None:
    first = ask(bench, "same", job_type)
    begun = Entrance(first, gives_up_unique_key=job_type == "unique_until")

    def begin() -> None:
        claim(first.id, job_type=job_type, send_id="s", deadline=10**13, entrance=begun)

    before_the_next_replace(monkeypatch, begin)
    second = ask(bench, "same", job_type, idempotency_key=key)
    assert bench.duplicate(second) == (outcome and DuplicateOutcome(outcome))
    assert (second.id == first.id) == (outcome is DuplicateAnswer.RETURNED)


def wanted(text: str) -> NewJob:
    """Return what a request asks for that is to start at once."""
    return NewJob("unique_replace", "default", "org", {"lot": "a", "text": text}, max_attempts=1)


def test_a_job_that_has_begun_is_given_no_other_payload(bench: Bench) -> None:
    """Between two invocations, its row is queued as that of one that has not begun is."""
    row = ask(bench, "first")

    def end_invocation(job: Any, payload: Any) -> None:
        if job.invocation == 1:
            with pytest.raises(PreconditionFailed):  # while it runs
                replacing.replace(bench.read(row), wanted("second"), [])
            bench.advance(880)
            job.checkpoint(1)

    script.job = end_invocation
    queued = bench.run(row)
    assert (queued.status, queued.invocations) == (Status.QUEUED, 1)
    with pytest.raises(PreconditionFailed):
        replacing.replace(queued, wanted("second"), [])
    assert bench.run(row).status is Status.SUCCEEDED
    assert script.texts_run == ["first", "first"]


def test_nor_is_one_that_was_canceled_before_it_began(bench: Bench) -> None:
    canceled = caller_actions.cancel(ask(bench, "first"))
    with pytest.raises(PreconditionFailed):
        replacing.replace(canceled, wanted("second"), [])
    assert bench.read(canceled).status is Status.CANCELED


def test_of_two_that_come_to_follow_at_once_one_does(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.claim(ask(bench, "first", "unique_follow"))
    queued_behind, others = uniqueness.writes_to_follow, []

    def after_another(*asked: Any) -> Any:
        writes = queued_behind(*asked)
        monkeypatch.setattr(uniqueness, "writes_to_follow", queued_behind)
        others.append(ask(bench, "second", "unique_follow"))
        return writes

    monkeypatch.setattr(uniqueness, "writes_to_follow", after_another)
    third = ask(bench, "third", "unique_follow")
    assert (third.id, bench.duplicate(third)) == (
        others[0].id,
        DuplicateOutcome(DuplicateAnswer.REPLACED),
    )
    (record,) = keys()
    assert record["follower"] == third.created_key


def lands_unheard(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], Any]) -> None:
    """Have the next update of a row land, something happen, and the update come again, as
    botocore repeats it."""
    update = JobRequest.update

    def twice(row: JobRequest, *asked: Any) -> Any:
        monkeypatch.setattr(JobRequest, "update", update)
        update(copy(row), *asked)
        happens()
        return update(row, *asked)

    monkeypatch.setattr(JobRequest, "update", twice)


def test_a_replacement_that_landed_unheard_keeps_its_payload_for_the_next_attempt(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = Unique(by=("lot",), on_conflict="replace")
    job = Job(unique_sample.work, retry=Retry(max_attempts=2, base=2, cap=60), unique=rule)
    monkeypatch.setitem(unique_sample.JOBS, "unique_retried", job)
    forget()
    first = ask(bench, "old", "unique_retried")

    def fail(job: Any, payload: object) -> None:
        raise ZeroDivisionError

    script.job = fail
    lands_unheard(monkeypatch, lambda: bench.run(first))
    second = ask(bench, LARGE, "unique_retried")
    assert (second.id, (how := bench.duplicate(second)) and how.outcome) == (
        first.id,
        DuplicateAnswer.REPLACED,
    )
    assert second.status is Status.RETRYABLE
    script.job = lambda job, payload: None
    bench.advance(120)
    assert bench.run(first).status is Status.SUCCEEDED
    assert script.texts_run == [LARGE, LARGE]


def test_a_replacement_that_landed_unheard_was_done_if_the_job_has_ended(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ask(bench, "old")
    lands_unheard(monkeypatch, lambda: bench.run(first))
    second = ask(bench, LARGE)
    assert (second.id, (how := bench.duplicate(second)) and how.outcome) == (
        first.id,
        DuplicateAnswer.REPLACED,
    )
    assert script.texts_run == [LARGE]
    assert objects() == [second.payload_key]


@pytest.mark.parametrize("ends", ["canceled", "done"])
def test_the_request_of_a_job_that_has_ended_is_not_refused_while_another_runs(
    bench: Bench, ends: str
) -> None:
    first = ask(bench, "1", "unique_follow", idempotency_key="k")
    if ends == "done":
        bench.run(first)
    else:
        caller_actions.cancel(first)
    second = ask(bench, "2", "unique_follow", idempotency_key="other")
    bench.claim(second)
    follower = ask(bench, "3", "unique_follow", idempotency_key="third")
    caller_actions.cancel(follower)
    assert ask(bench, "1", "unique_follow", idempotency_key="k").id == first.id
    assert ask(bench, "3", "unique_follow", idempotency_key="third").id == follower.id
