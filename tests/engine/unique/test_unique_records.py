"""The record of who has a key, and who follows: what was left there, and what others
write meanwhile."""

from typing import Any

import pytest

from bench import Bench
from job_runners import clock
from job_runners.aws import errors
from job_runners.engine.control import caller_actions
from job_runners.errors import PreconditionFailed
from job_runners.store import transitions, uniqueness
from job_runners.store.job_request import (
    DuplicateAnswer,
    DuplicateOutcome,
    JobRequest,
    Status,
    new_id,
    sort_key,
)
from job_runners.store.uniqueness import FreeKey, KeyRecord
from job_runners.testing import moto_direct
from job_runners.testing.aws import forget
from large_payloads import LARGE, objects
from lost_answers import land_in_conflict
from sample_work import script


@pytest.fixture
def bench(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setenv("JOBS_PACKAGES", "sample_work,unique_sample")
    forget()
    return bench


def ask(bench: Bench, text: str = "", lot: str = "a", **more: Any) -> JobRequest:
    return bench.dispatch("unique_follow", payload={"lot": lot, "text": text}, **more)


def end_and_leave_the_record(row: JobRequest) -> None:
    """End a job as code does that knows no keys."""
    away = (JobRequest.held_by, JobRequest.waiting_since, JobRequest.due_at)
    row.update([JobRequest.status.set(Status.CANCELED), *(each.remove() for each in away)])


def records() -> list[moto_direct.Row]:
    return [row for row in moto_direct.rows("coordination") if row["pk"].startswith("unique#")]


def record_of(row: JobRequest) -> KeyRecord:
    return KeyRecord.get(f"unique#{row.unique_key}", "holder", consistent_read=True)


# --- a record that was left -----------------------------------------------------------------------


def test_a_key_is_not_had_by_another_job_that_came_to_have_the_same_id(bench: Bench) -> None:
    first = ask(bench, idempotency_key="k")
    end_and_leave_the_record(first)
    first.update([JobRequest.expires_at.set(1)])
    other = ask(bench, lot="b", idempotency_key="k")
    assert (other.id, other.created_key == first.created_key) == (first.id, False)
    third = ask(bench)
    assert (bench.duplicate(third), third.id == other.id) == (None, False)
    assert {record["holder"] for record in records()} == {other.created_key, third.created_key}


def test_one_that_was_canceled_and_left_its_place_follows_no_more(bench: Bench) -> None:
    bench.claim(ask(bench, "first"))
    second = ask(bench, "second")
    end_and_leave_the_record(second)
    third = ask(bench, "third")
    assert (bench.duplicate(third), third.id == second.id) == (
        DuplicateOutcome(DuplicateAnswer.FOLLOWS),
        False,
    )
    assert record_of(third).follower == third.created_key


def test_nor_is_it_admitted(bench: Bench) -> None:
    first = ask(bench, "first")
    script.job = lambda job, payload: end_and_leave_the_record(ask(bench, "second"))
    assert bench.run(first).status is Status.SUCCEEDED
    assert (bench.sent_jobs, records()) == ([], [])


def test_nor_is_one_that_is_canceled_so_just_before(bench: Bench) -> None:
    first, second = ended_and_not_admitted(bench)
    found = free(first)
    end_and_leave_the_record(bench.read(second))
    uniqueness.admit_follower(str(first.unique_key), second, found)
    assert bench.read(second).status is Status.CANCELED


# --- what others write meanwhile ------------------------------------------------------------------


def ended_and_not_admitted(bench: Bench) -> tuple[JobRequest, JobRequest]:
    """Return a job that has ended and left its record, and the one that follows it."""
    first = ask(bench, "first")
    bench.claim(first)
    second = ask(bench, "second")
    end_and_leave_the_record(first)
    return first, second


def free(row: JobRequest) -> FreeKey:
    found = uniqueness.read_key(str(row.unique_key))
    assert isinstance(found, FreeKey)
    return found


def test_one_that_another_has_admitted_meanwhile_is_admitted(bench: Bench) -> None:
    first, second = ended_and_not_admitted(bench)
    found = [free(first) for _ in range(2)]
    rows = [uniqueness.admit_follower(str(first.unique_key), second, each).after for each in found]
    assert [row.status for row in rows] == [Status.QUEUED] * 2


def test_one_that_is_put_off_meanwhile_waits_for_its_new_time(bench: Bench) -> None:
    first = ask(bench, "first")
    bench.claim(first)
    second = ask(bench, "second")
    put_off = ask(bench, "third", delay=600)
    end_and_leave_the_record(first)
    with pytest.raises(PreconditionFailed):
        uniqueness.admit_follower(str(first.unique_key), second, free(first))
    assert put_off.id == second.id
    admitted = uniqueness.admit_follower(str(first.unique_key), put_off, free(first)).after
    assert admitted.status is Status.SCHEDULED


def test_a_key_is_not_taken_from_one_that_follows_and_could_not_be_seen(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction becomes visible item by item: its row may be later than the record."""
    first, second = ended_and_not_admitted(bench)
    follower = uniqueness._read_follower
    looks: list[KeyRecord] = []

    def unseen(record: KeyRecord) -> JobRequest | None:
        looks.append(record)
        return None if len(looks) <= 2 else follower(record)

    monkeypatch.setattr(uniqueness, "_read_follower", unseen)
    third = ask(bench, "third")
    assert (third.id, third.status) == (second.id, Status.QUEUED)
    assert record_of(first).holder == second.created_key


def test_a_key_is_handed_on_to_one_that_follows_and_could_not_be_seen_at_first(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ask(bench, "first")
    bench.claim(first)
    second = ask(bench, "second")
    follower = uniqueness._read_follower
    looks: list[KeyRecord] = []

    def unseen_at_first(record: KeyRecord) -> JobRequest | None:
        looks.append(record)
        return None if len(looks) == 1 else follower(record)

    monkeypatch.setattr(uniqueness, "_read_follower", unseen_at_first)
    transitions.succeed(bench.read(first), None)
    assert len(looks) == 2
    assert bench.read(second).status is Status.QUEUED
    assert record_of(first).holder == second.created_key


def test_a_key_that_is_handed_on_is_held_for_180_days_from_then(bench: Bench) -> None:
    first = ask(bench, "first")
    bench.claim(first)
    bench.advance(20 * 24 * 3600)
    ask(bench, "second")
    bench.advance(100 * 24 * 3600)
    transitions.succeed(bench.read(first), None)
    assert record_of(first).expires_at == (clock.now() + 300 * clock.DAY) // clock.SECOND


def test_a_job_ends_though_others_come_to_follow_and_go_whenever_it_looks(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ask(bench, "first")
    looks: list[str] = []
    handed_on = uniqueness.writes_to_pass_key_on

    def come() -> None:
        follower = KeyRecord.follower.set(sort_key(0, new_id()))
        KeyRecord(f"unique#{first.unique_key}", "holder").update([follower])

    def and_another_comes(row: JobRequest) -> Any:
        writes = handed_on(row)
        looks.append(row.id)
        if len(looks) < 20:
            come()
        return writes

    monkeypatch.setattr(uniqueness, "writes_to_pass_key_on", and_another_comes)
    script.job = lambda job, payload: come()
    assert bench.run(first).status is Status.SUCCEEDED
    assert 1 < len(looks) < 20
    monkeypatch.setattr(uniqueness, "writes_to_pass_key_on", handed_on)
    assert (
        bench.duplicate(ask(bench, "second")) is None
    )  # the key is free, whatever its record says


# --- an answer that was lost, and a repetition that conflicts -------------------------------------


def test_a_job_keeps_its_payload_whose_key_is_held_by_its_own_first_try(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    land_in_conflict(monkeypatch, errors._MAX_CONFLICT_TRIES)
    row = bench.dispatch("unique_refuse", payload={"text": LARGE})
    assert (bench.duplicate(row), objects()) == (None, [row.payload_key])
    assert bench.run(row).status is Status.SUCCEEDED


def test_a_job_that_is_queued_again_is_not_refused_for_the_key_that_it_has_taken_itself(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    script.job = lambda job, payload: 1 / 0
    failed = bench.run(bench.dispatch("unique_refuse", payload={"text": LARGE}))
    land_in_conflict(monkeypatch, errors._MAX_CONFLICT_TRIES)
    assert caller_actions.retry_again(failed, bench.send).status is Status.QUEUED
    assert objects() == [bench.read(failed).payload_key]
