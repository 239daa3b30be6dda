"""Jobs that are to start later, and requests that come twice."""

import threading
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from pydantic import ValidationError

from bench import Bench
from job_runners import clock
from job_runners.engine.wire.sending import MAX_MESSAGE_DELAY
from job_runners.errors import IdempotencyConflict
from job_runners.runners import get_job_runner
from job_runners.runners.base import JobData
from job_runners.store import conditional_write
from job_runners.store.job_request import JobRequest, Status
from job_runners.testing import moto_direct
from sample_work import script

_MINUTE = 60


def at(bench: Bench, seconds: float) -> datetime:
    return datetime.fromtimestamp(clock.now() / 1000 + seconds, UTC)


# --- later ----------------------------------------------------------------------------------------


def test_a_scheduled_job_waits_for_its_time(bench: Bench) -> None:
    row = bench.dispatch(run_at=at(bench, 600))
    assert row.status is Status.SCHEDULED
    row = bench.run(row)  # its message comes early
    assert row.status is Status.SCHEDULED
    assert not script.jobs_run
    ((_, delay),) = bench.sent  # and is sent again, for then
    assert 590 < delay <= 600
    bench.advance(600)
    assert bench.run(row).status is Status.SUCCEEDED


def test_within_15_minutes_a_message_starts_it_to_the_second_and_the_timer_makes_sure(
    bench: Bench,
) -> None:
    row = bench.dispatch(delay=MAX_MESSAGE_DELAY)
    assert row.due_at == (row.run_at or 0) + conditional_write.GRACE
    bench.advance(MAX_MESSAGE_DELAY + 61)
    bench.tick()
    assert bench.sent_jobs == [row.id]


def test_beyond_15_minutes_the_timer_starts_it_to_the_minute(bench: Bench) -> None:
    row = bench.dispatch(delay=2 * MAX_MESSAGE_DELAY)
    bench.advance(2 * MAX_MESSAGE_DELAY - 60)
    bench.tick()
    assert not bench.sent
    bench.advance(60)
    bench.tick()
    assert bench.sent_jobs == [row.id]


@pytest.mark.parametrize("fields", [{}, {"delay": 0}, {"run_at": datetime(2020, 1, 1, tzinfo=UTC)}])
def test_what_may_start_now_is_queued(bench: Bench, fields: dict[str, Any]) -> None:
    row = bench.dispatch(**fields)
    assert (row.status, row.run_at) == (Status.QUEUED, None)
    assert (row.due_at or 0) > clock.now() + 50_000  # its message may be under way until then


def test_a_time_means_the_same_in_every_zone(bench: Bench) -> None:
    moment = at(bench, 3600)
    there = moment.astimezone(timezone(timedelta(hours=-7)))
    assert bench.dispatch(run_at=moment).run_at == bench.dispatch(run_at=there.isoformat()).run_at


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"run_at": "2026-05-04T09:30:00"}, "timezone"),
        ({"run_at": 1_800_000_000}, "a time with a time zone"),
        ({"run_at": "1800000000"}, "a time with a time zone"),
        ({"run_at": "1.8e9"}, "a time with a time zone"),
        ({"run_at": "tomorrow"}, "a time with a time zone"),
        ({"run_at": "2026-05-44T09:30:00Z"}, "valid datetime"),
        ({"delay": True}, "valid number"),
        ({"delay": "3"}, "valid number"),
        ({"delay": 30 * 24 * 3600 + 1}, "less than or equal"),
        ({"delay": -1}, "greater than or equal"),
        ({"delay": float("nan")}, "finite"),
        ({"delay": 1, "run_at": "2026-05-04T09:30:00Z"}, "not both"),
        ({"run_at": "2100-01-01T00:00:00Z"}, "at most 30 days"),
    ],
)
def test_a_time_that_can_not_be_kept_is_refused(fields: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        JobData(job_type="sample_once", **fields)


def test_a_scheduled_job_is_late_only_when_it_is_late_for_its_own_time(bench: Bench) -> None:
    row = bench.dispatch(delay=20 * 24 * 3600)
    bench.advance(20 * 24 * 3600 + 60)
    bench.tick()
    assert bench.sent_jobs == [row.id]
    bench.advance(25 * 3600)
    bench.tick()
    row = bench.read(row)
    assert (row.status, row.error["kind"]) == (Status.FAILED, "NeverStarted")


# --- the same request twice -----------------------------------------------------------------------


def test_the_same_request_under_the_same_key_is_one_job(bench: Bench) -> None:
    first = bench.dispatch(idempotency_key="k", payload={"number": 1, "text": "a"})
    again = bench.dispatch(idempotency_key="k", payload={"text": "a", "number": 1})
    assert first.id == again.id
    assert len(moto_direct.rows("jobs")) == 1


def test_the_same_request_after_the_job_ended_is_the_job_as_it_ended(bench: Bench) -> None:
    row = bench.run(bench.dispatch(idempotency_key="k"))
    again = bench.dispatch(idempotency_key="k")
    assert (again.id, again.status) == (row.id, Status.SUCCEEDED)


@pytest.mark.parametrize("other", [{"payload": {"number": 2}}, {"delay": 5}, {"queue_name": "q"}])
def test_another_request_under_the_same_key_is_refused(bench: Bench, other: dict[str, Any]) -> None:
    row = bench.dispatch(idempotency_key="k")
    with pytest.raises(IdempotencyConflict, match=row.id):
        bench.dispatch(idempotency_key="k", **other)
    assert len(moto_direct.rows("jobs")) == 1


def test_keys_are_of_one_organisation(bench: Bench) -> None:
    first = bench.dispatch(idempotency_key="k")
    other = bench.dispatch(idempotency_key="k", organization_id="other")
    assert first.id != other.id


def test_two_racing_requests_are_one_job(bench: Bench) -> None:
    rows: list[JobRequest] = []
    start = threading.Barrier(8)

    def request() -> None:
        start.wait()
        rows.append(bench.dispatch(idempotency_key="k"))

    threads = [threading.Thread(target=request) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len({row.id for row in rows}) == 1
    assert len(rows) == 8


def test_a_key_is_free_again_once_its_job_has_expired(bench: Bench) -> None:
    first = bench.run(bench.dispatch(idempotency_key="k"))
    bench.advance(31 * 24 * 3600)
    again = bench.dispatch(idempotency_key="k", payload={"number": 2})
    assert again.id == first.id
    assert (again.status, again.created_at > first.created_at) == (Status.QUEUED, True)
    assert bench.run(again).status is Status.SUCCEEDED


def test_a_job_that_was_accepted_and_not_begun_is_sent_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first request may have died between the save and the send."""
    sent: list[str] = []
    monkeypatch.setattr(
        "job_runners.runners.legacy.send", lambda message, delay=0: sent.append(message.id)
    )
    row = bench.dispatch(idempotency_key="k")
    bench.dispatch(idempotency_key="k")
    assert sent == [row.id, row.id]
    get_job_runner()
