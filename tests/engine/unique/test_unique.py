"""Work that is unique: one job for each key, whatever ends it, and what a second request gets."""

import functools
from typing import Any

import pytest

import moto_items
from bench import Bench
from job_runners.engine.control import caller_actions
from job_runners.errors import IdempotencyConflict, PreconditionFailed, QuotaReached, UniqueConflict
from job_runners.store import job_request, uniqueness
from job_runners.store.conditional_write import Change
from job_runners.store.job_request import DuplicateAnswer, DuplicateOutcome, JobRequest, Status
from job_runners.testing import moto_direct
from job_runners.testing.aws import forget
from sample_work import script


@pytest.fixture
def bench(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setenv("JOBS_PACKAGES", "sample_work,unique_sample")
    forget()
    return bench


def ask(
    bench: Bench, job_type: str = "unique_return", lot: str = "a", text: str = "", **more: Any
) -> JobRequest:
    return bench.dispatch(job_type, payload={"lot": lot, "text": text}, **more)


def records() -> list[dict[str, Any]]:
    """Return the records of keys, and no answers."""
    return [row for row in moto_direct.rows("coordination") if row["pk"].startswith("unique#")]


def holders() -> list[str]:
    return [record["holder"] for record in records()]


# --- one job for each key -------------------------------------------------------------------------


def test_a_second_request_is_answered_with_the_job_there_is(bench: Bench) -> None:
    first, second = ask(bench), ask(bench, text="another")
    assert (second.id, bench.duplicate(second)) == (
        first.id,
        DuplicateOutcome(DuplicateAnswer.RETURNED),
    )
    assert holders() == [first.created_key]


def test_organisations_types_and_values_are_apart(bench: Bench) -> None:
    rows = [
        ask(bench),
        ask(bench, lot="b"),
        ask(bench, organization_id="umbrella"),
        ask(bench, "unique_again"),
    ]
    assert len({row.id for row in rows}) == len(holders()) == 4


def test_a_default_is_the_value_that_it_stands_for(bench: Bench) -> None:
    first = bench.dispatch("unique_return", payload={})
    assert ask(bench, lot="a").id == first.id


def test_a_job_that_refuses_names_the_one_there_is(bench: Bench) -> None:
    first = ask(bench, "unique_refuse", text="spring")
    with pytest.raises(UniqueConflict, match=first.id) as refused:
        ask(bench, "unique_refuse", lot="b", text="spring")
    assert refused.value.job_id == first.id
    assert bench.duplicate(ask(bench, "unique_refuse", text="autumn")) is None


# --- whatever ends a job frees its key, and nothing else does -------------------------------------


def succeed(bench: Bench, row: JobRequest) -> None:
    bench.run(row)


def fail(bench: Bench, row: JobRequest) -> None:
    def no_luck(job: object, payload: object) -> None:
        raise ZeroDivisionError

    script.job = no_luck
    bench.run(row)
    script.job = lambda job, payload: None


def cancel(bench: Bench, row: JobRequest) -> None:
    caller_actions.cancel(row)


def stop(bench: Bench, row: JobRequest) -> None:
    def asked(job: Any, payload: object) -> None:
        caller_actions.cancel(bench.read(job.id))
        bench.advance(10)
        job.checkpoint()

    script.job = asked
    bench.run(row)
    script.job = lambda job, payload: None


def expire(bench: Bench, row: JobRequest) -> None:
    bench.advance(25 * 3600)
    bench.tick()


def rescue(bench: Bench, row: JobRequest) -> None:
    bench.claim(row)
    bench.advance(1000)
    bench.tick()


@pytest.mark.parametrize("end", [succeed, fail, cancel, stop, expire, rescue])
def test_however_a_job_ends_its_key_is_free(bench: Bench, end: Any) -> None:
    first = ask(bench)
    end(bench, first)
    ended = bench.read(first)
    assert (ended.status.finished, ended.unique_key, records()) == (True, None, [])
    assert ask(bench).id != first.id


def test_a_job_that_waits_for_its_next_attempt_has_its_key(bench: Bench) -> None:
    first = ask(bench, "unique_again")
    fail(bench, first)
    assert bench.read(first).status is Status.RETRYABLE
    assert ask(bench, "unique_again").id == first.id


def test_a_job_of_a_queue_with_limits_gives_up_both(bench: Bench) -> None:
    first = ask(bench, queue_name="sample_slots")
    assert bench.run(first).status is Status.SUCCEEDED
    assert records() == []
    assert not [row for row in moto_direct.rows("coordination") if "holder" in row]


def test_in_a_queue_with_limits_it_has_its_key_while_it_runs(bench: Bench) -> None:
    first = ask(bench, queue_name="sample_slots")
    others: list[str] = []
    script.job = lambda job, payload: others.append(ask(bench).id)
    assert bench.run(first).status is Status.SUCCEEDED
    assert others == [first.id]


def test_until_started_the_claim_frees_it(bench: Bench) -> None:
    first = ask(bench, "unique_started")
    assert ask(bench, "unique_started").id == first.id
    others: list[JobRequest] = []

    def another(job: object, payload: object) -> None:
        others.append(ask(bench, "unique_started"))

    script.job = another
    bench.run(first)
    assert others[0].id != first.id
    assert holders() == [others[0].created_key]


def test_until_started_the_claim_names_no_line_where_there_is_none(bench: Bench) -> None:
    row = ask(bench, "unique_started")
    bench.run(row)
    assert "concurrency_key" not in moto_items.row("jobs", {"id": {"S": row.id}})


def test_until_started_in_a_queue_with_limits_the_claim_frees_it(bench: Bench) -> None:
    first = ask(bench, "unique_started", queue_name="sample_slots")
    seen: list[Any] = []
    script.job = lambda job, payload: seen.append((bench.read(job.id).slot, records()))
    assert bench.run(first).status is Status.SUCCEEDED
    assert seen == [(1, [])]


def test_a_key_that_is_anothers_keeps_no_job_from_starting_or_ending(bench: Bench) -> None:
    for job_type in ("unique_started", "unique_return"):
        first = ask(bench, job_type)
        key = uniqueness.KeyRecord(f"unique#{first.unique_key}", "holder")
        key.update([uniqueness.KeyRecord.holder.set("another")])
        assert bench.run(first).status is Status.SUCCEEDED
        assert holders().count("another")


def test_a_record_whose_job_has_ended_without_it_is_taken_over(bench: Bench) -> None:
    first = ask(bench)
    first.update([JobRequest.status.set(Status.CANCELED)])  # and left its record
    second = ask(bench)
    assert bench.duplicate(second) is None
    assert holders() == [second.created_key]


def test_a_record_that_was_left_to_the_same_id_is_taken_over(bench: Bench) -> None:
    first = ask(bench, idempotency_key="k")
    first.update([JobRequest.status.set(Status.CANCELED), JobRequest.expires_at.set(1)])
    second = ask(bench, idempotency_key="k")
    assert (second.id, bench.duplicate(second)) == (first.id, None)
    assert holders() == [second.created_key] != [first.created_key]


def test_a_key_is_not_taken_over_from_a_job_that_is_queued_again_meanwhile(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ask(bench)
    fail(bench, first)
    key = f"unique#{first.unique_key}"
    uniqueness.KeyRecord(key, "holder", holder=first.created_key, expires_at=0).save()
    taken = uniqueness.writes_to_take_key

    def after_a_retry(key: str, job: JobRequest, over: Any) -> Any:
        writes = taken(key, job, over)
        if over is not None and job.id != first.id:
            monkeypatch.setattr(uniqueness, "writes_to_take_key", taken)
            caller_actions.retry_again(bench.read(first), bench.send)
        return writes

    monkeypatch.setattr(uniqueness, "writes_to_take_key", after_a_retry)
    second = ask(bench)
    assert (second.id, bench.duplicate(second)) == (
        first.id,
        DuplicateOutcome(DuplicateAnswer.RETURNED),
    )
    assert holders() == [first.created_key]


# --- manually
# --------------------------------------------------------------------------------------


def test_a_manual_retry_takes_the_key_anew(bench: Bench) -> None:
    first = ask(bench)
    fail(bench, first)
    caller_actions.retry_again(bench.read(first), bench.send)
    assert ask(bench).id == first.id
    assert bench.run(first).status is Status.SUCCEEDED
    assert records() == []


def test_a_manual_retry_with_another_payload_takes_the_key_of_that(bench: Bench) -> None:
    first = ask(bench)
    fail(bench, first)
    caller_actions.retry_again(bench.read(first), bench.send, {"lot": "b"})
    assert ask(bench, lot="b").id == first.id
    assert ask(bench, lot="a").id != first.id


def test_a_manual_retry_is_refused_while_another_has_its_key(bench: Bench) -> None:
    first = ask(bench)
    fail(bench, first)
    second = ask(bench)
    with pytest.raises(UniqueConflict, match=second.id):
        caller_actions.retry_again(bench.read(first), bench.send)
    assert bench.read(first).status is Status.FAILED


@pytest.mark.parametrize("manually", [False, True])
def test_who_is_overtaken_each_time_is_told_to_look_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, manually: bool
) -> None:
    failed = ask(bench)
    fail(bench, failed)
    failed_row = bench.read(failed)
    if not manually:
        caller_actions.delete(failed_row)
    record = uniqueness.KeyRecord(f"unique#{failed.unique_key}", "holder", expires_at=0)
    taken = uniqueness.writes_to_take_key

    def others_take_it(*asked: Any) -> Any:
        writes = taken(*asked)
        record.holder = job_request.sort_key(bench.moved, job_request.new_id())
        record.save()  # of a job that has ended by the next look
        return writes

    monkeypatch.setattr(uniqueness, "writes_to_take_key", others_take_it)
    retry = functools.partial(caller_actions.retry_again, failed_row, bench.send)
    with pytest.raises(PreconditionFailed, match="overtaken by others"):
        _ = retry() if manually else ask(bench)
    assert [row["status"] for row in moto_direct.rows("jobs")] == ["failed"] * manually
    assert isinstance(uniqueness.read_key(str(failed.unique_key)), uniqueness.FreeKey)


def test_a_manual_retry_looks_again_where_the_one_that_follows_was_not_admitted(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = ask(bench, "unique_follow")
    fail(bench, failed)
    holder = ask(bench, "unique_follow")
    bench.claim(holder)
    ask(bench, "unique_follow")
    holder.update([JobRequest.status.set(Status.CANCELED), JobRequest.due_at.remove()])
    admitted = uniqueness.admit_follower

    def after_it_is_lost(*asked: Any) -> Change:
        uniqueness.KeyRecord(f"unique#{failed.unique_key}", "holder").delete()
        return admitted(*asked)

    monkeypatch.setattr(uniqueness, "admit_follower", after_it_is_lost)
    row = caller_actions.retry_again(bench.read(failed), bench.send)
    assert row.status is Status.QUEUED
    assert holders() == [row.created_key]


# --- idempotency keys -----------------------------------------------------------------------------


def test_the_same_request_gets_the_same_answer_after_the_job_has_ended(bench: Bench) -> None:
    first = ask(bench)
    met = ask(bench, idempotency_key="k")
    bench.run(first)
    again = ask(bench, idempotency_key="k")
    assert (met.id, again.id) == (first.id, first.id)
    assert bench.duplicate(again) == DuplicateOutcome(DuplicateAnswer.RETURNED, is_repeated=True)
    with pytest.raises(IdempotencyConflict, match=first.id):
        ask(bench, text="another body", idempotency_key="k")


def test_a_request_that_made_its_job_gets_it_again_whoever_has_the_key(bench: Bench) -> None:
    first = ask(bench, idempotency_key="k")
    bench.run(first)
    second = ask(bench)
    again = ask(bench, idempotency_key="k")
    assert second.id != first.id == again.id
    assert bench.duplicate(again) is None


def test_an_answer_is_over_when_its_job_is_gone(bench: Bench) -> None:
    first = ask(bench)
    ask(bench, idempotency_key="k")
    bench.run(first)
    caller_actions.delete(bench.read(first))
    again = ask(bench, idempotency_key="k")
    assert (bench.duplicate(again), again.id != first.id) == (None, True)


def test_an_answer_is_not_of_a_later_job_of_the_same_id(bench: Bench) -> None:
    first = ask(bench, idempotency_key="its own")
    ask(bench, idempotency_key="k")
    bench.run(first)
    caller_actions.delete(bench.read(first))
    bench.advance(1)
    later = ask(bench, idempotency_key="its own")
    again = ask(bench, idempotency_key="k")
    assert first.id == later.id == again.id
    assert bench.duplicate(again) == DuplicateOutcome(
        DuplicateAnswer.RETURNED
    )  # and was not before


def test_a_child_is_the_job_there_is_and_stays_that(bench: Bench) -> None:
    first = ask(bench)
    found: list[str] = []

    def dispatch(job: Any, payload: object) -> None:
        found.append(job.dispatch("unique_return", {"lot": "a"}, key="child"))

    script.job = dispatch
    parent = bench.run(bench.dispatch("sample_once"))
    assert (parent.status, found) == (Status.SUCCEEDED, [first.id])


# --- where there is too much ----------------------------------------------------------------------


def test_a_job_that_follows_counts_like_any_other_new_job(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAX_UNFINISHED_JOBS", "2")
    forget()
    first, second = (ask(bench, "unique_follow", lot) for lot in "ab")
    replaced = ask(bench, "unique_follow", "a", text="new", idempotency_key="k")
    assert replaced.id == first.id  # it has not begun: there is no more than before
    for row in (first, second):
        bench.claim(row)
    with pytest.raises(QuotaReached):
        ask(bench, "unique_follow", "a")
    again = ask(bench, "unique_follow", "a", text="new", idempotency_key="k")
    assert (again.id, bench.duplicate(again)) == (
        first.id,
        DuplicateOutcome(DuplicateAnswer.REPLACED, is_repeated=True),
    )
    monkeypatch.setenv("MAX_UNFINISHED_JOBS", "3")
    forget()
    bench.advance(10)
    follower = ask(bench, "unique_follow", "a")
    assert ask(bench, "unique_follow", "a", text="newer").id == follower.id
    with pytest.raises(QuotaReached):
        ask(bench, "unique_follow", "b")
    assert len(moto_direct.rows("jobs")) == 3
