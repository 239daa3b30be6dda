"""A job that sleeps in its function: what it costs, how long it takes, and what it survives."""

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from bench import Bench
from counted_units import Units
from job_runners import clock
from job_runners.engine.control import caller_actions, positions
from job_runners.engine.lines import pausing
from job_runners.engine.registry.registry import registry
from job_runners.engine.running import execution, wait_endings
from job_runners.engine.wire.messages import JobMessage
from job_runners.engine.wire.sending import CANNOT_SEND
from job_runners.errors import PreconditionFailed, WrongState
from job_runners.settings import forget
from job_runners.store import caller_transitions, current_wait
from job_runners.store.job_request import JobRequest, Status
from job_runners.store.pauses import Kind
from job_runners.store.transitions import Checkpoint, waits
from job_runners.work.definitions import Job
from sample_work import once, script

HOUR = 3600.0
DAY = 24 * HOUR


def sleeps(seconds: float, name: str = "nap") -> Any:
    def work(job: Any, payload: object) -> str:
        job.checkpoint(7, progress=50, message="before the nap")
        job.sleep(name, seconds)
        return f"invocation {job.invocation}"

    return work


def define(monkeypatch: pytest.MonkeyPatch, **rules: Any) -> None:
    """Give the sample job other rules."""
    jobs = cast(dict[str, Job], registry().jobs)
    monkeypatch.setitem(jobs, "sample_once", Job(once, **rules))


def test_a_job_sleeps_without_a_worker_and_goes_on_in_another_invocation(bench: Bench) -> None:
    script.job = sleeps(HOUR)
    row = bench.run(bench.dispatch("sample_once"))
    assert (row.status, row.progress, row.cursor) == (Status.SCHEDULED, 50, 7)
    found = positions.wait_reason(row)
    assert found is not None
    assert (found.kind, found.name, found.until, found.names) == ("time", "nap", row.run_at, None)
    assert positions.place_of(row, None).ahead is None
    bench.advance(HOUR - 60)
    assert bench.run(row).status is Status.SCHEDULED  # a message that comes early
    bench.advance(61)
    bench.tick()
    bench.deliver()
    row = bench.read(row)
    assert (row.status, row.invocations, row.wait_count) == (Status.SUCCEEDED, 2, 1)
    assert positions.wait_reason(row) is None


def test_a_short_sleep_is_delivered_by_its_own_message(bench: Bench) -> None:
    script.job = sleeps(60)
    row = bench.run(bench.dispatch("sample_once"))
    ((message, delay),) = bench.sent
    assert (cast(JobMessage, message).id, round(delay)) == (row.id, 60)
    bench.run_out()
    assert bench.read(row).status is Status.SUCCEEDED


def test_a_sleep_until_a_time_ends_then_and_one_in_the_past_at_once(bench: Bench) -> None:
    wake = datetime.now(UTC) + timedelta(days=2)

    def work(job: Any, payload: object) -> None:
        job.sleep_until("never slept", datetime(2020, 1, 1, tzinfo=UTC))
        job.sleep_until("nap", wake)

    script.job = work
    row = bench.run(bench.dispatch("sample_once"))
    assert abs((row.run_at or 0) - wake.timestamp() * 1000) <= 1


def test_the_last_two_seconds_pass_in_the_worker(bench: Bench) -> None:
    waited: list[float] = []
    script.job = sleeps(1.5)
    with pytest.MonkeyPatch.context() as here:
        here.setattr(clock, "sleep", waited.append)
        assert bench.run(bench.dispatch("sample_once")).status is Status.SUCCEEDED
    assert 1 < waited[0] <= 1.5


def test_a_sleep_costs_five_write_units(bench: Bench, still: Bench) -> None:
    units = Units()
    script.job = lambda job, payload: None
    bench.run(bench.dispatch("sample_once"))
    without = units.spent()
    script.job = lambda job, payload: job.sleep("nap", 600)
    row = bench.run(bench.dispatch("sample_once"))
    bench.advance(600)
    assert bench.run(row).status is Status.SUCCEEDED
    assert units.spent() - without == 5


def test_a_sleep_counts_against_neither_timeout_nor_invocations(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    define(monkeypatch, timeout=120, max_invocations=1)

    def work(job: Any, payload: object) -> float:
        for nap in range(4):
            job.sleep(str(nap), DAY)
        return float(job.time_left())

    script.job = work
    row = bench.dispatch("sample_once")
    for _ in range(5):
        row = bench.run(row)
        bench.advance(DAY)
    assert (row.status, row.invocations, row.counted_invocations) == (Status.SUCCEEDED, 5, 1)
    assert row.attempt_started_at is not None


def test_the_work_between_two_sleeps_counts_against_the_timeout(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    define(monkeypatch, timeout=120)
    left: list[float] = []

    def work(job: Any, payload: object) -> None:
        left.append(job.time_left())
        bench.advance(50)
        job.sleep("nap", HOUR)

    script.job = work
    row = bench.run(bench.dispatch("sample_once"))
    bench.advance(HOUR)
    bench.run(row)
    assert [round(each) for each in left] == [120, 70]


def test_a_sleeper_has_no_slot_and_wakes_into_its_line(bench: Bench) -> None:
    script.job = sleeps(HOUR)
    first, second = (bench.dispatch("sample_once", queue_name="sample_slots") for _ in range(2))
    assert bench.run(first).slot is None
    script.job = lambda job, payload: None
    assert bench.run(second).status is Status.SUCCEEDED
    bench.advance(HOUR + 61)
    bench.tick()
    bench.deliver()
    assert bench.read(first).status is Status.SUCCEEDED


def test_a_sleeper_is_canceled_at_once_and_a_retry_sleeps_the_rest(bench: Bench) -> None:
    script.job = sleeps(HOUR)
    row = bench.run(bench.dispatch("sample_once"))
    wakes = row.run_at
    row = caller_actions.cancel(row)
    assert (row.status, positions.wait_reason(row)) == (Status.CANCELED, None)
    bench.advance(600)
    row = caller_actions.retry_again(row, bench.send)
    assert (row.invocations, row.wait_count) == (0, None)
    row = bench.run(row)
    assert (row.status, row.run_at) == (Status.SCHEDULED, wakes)


def test_a_retry_with_another_payload_sleeps_from_the_start(bench: Bench) -> None:
    script.job = sleeps(HOUR)
    row = bench.run(bench.dispatch("sample_once"))
    before = row.run_at or 0
    row = caller_actions.cancel(row)
    bench.advance(600)
    row = bench.run(caller_actions.retry_again(row, bench.send, {"number": 2}))
    assert (row.run_at or 0) >= before + 600_000


def test_a_job_that_was_asked_to_stop_is_canceled_where_it_would_sleep(bench: Bench) -> None:
    def work(job: Any, payload: object) -> None:
        caller_transitions.request_cancel(bench.read(job.id))
        job.sleep("nap", 60)

    script.job = work
    assert bench.run(bench.dispatch("sample_once")).status is Status.CANCELED
    assert bench.sent == []


def test_a_paused_sleeper_starts_after_its_sleep_and_the_pause(bench: Bench) -> None:
    script.job = sleeps(HOUR)
    row = bench.run(bench.dispatch("sample_once"))
    pausing.pause(Kind.JOB_TYPE, "sample_once")
    bench.advance(HOUR + 61)
    bench.tick()
    row = bench.read(row)
    assert (row.status, positions.wait_reason(row)) == (
        Status.WAITING,
        positions.WaitReason("job_type", "sample_once"),
    )
    pausing.resume(Kind.JOB_TYPE, "sample_once", bench.send)
    bench.deliver()
    assert bench.read(row).status is Status.SUCCEEDED


def test_a_worker_that_dies_in_a_sleeping_jobs_next_invocation_is_rescued(bench: Bench) -> None:
    script.job = sleeps(HOUR)
    row = bench.run(bench.dispatch("sample_again"))
    bench.advance(HOUR)
    bench.claim(row, seconds=10)
    bench.advance(120)
    bench.tick()
    row = bench.read(row)
    assert (row.status, row.attempt) == (Status.RETRYABLE, 2)
    bench.advance(600)
    assert bench.run(row).status is Status.SUCCEEDED  # and it doesn't sleep again


def test_a_worker_that_was_overtaken_does_not_put_its_successor_to_sleep(bench: Bench) -> None:
    row = bench.dispatch()
    zombie = bench.claim(row)
    bench.advance(1000)
    bench.tick()  # rescued
    bench.advance(60)
    script.job = sleeps(HOUR)
    asleep = bench.run(row)
    assert asleep.status is Status.SCHEDULED
    with pytest.raises(PreconditionFailed):
        waits.sleep(zombie, "nap", until=1, due_at=1, checkpoint=Checkpoint("then", 1, None))
    assert bench.read(row).serialize() == asleep.serialize()


@pytest.mark.parametrize("changed", [{"status": Status.QUEUED}, {"run_at": 10}])
def test_a_sleep_that_a_claim_left_in_the_row_is_over(changed: dict[str, Any]) -> None:
    asleep: dict[str, Any] = {"status": Status.SCHEDULED, "run_at": 9}
    left = current_wait.Wait(current_wait.TIME, "nap", 1, 9)
    assert current_wait.of(JobRequest(**asleep, current_wait=left.stored_form())) == left
    assert current_wait.of(JobRequest(**asleep | changed, current_wait=left.stored_form())) is None


@pytest.mark.parametrize("seconds", [91 * DAY, float("nan"), float("inf")])
def test_a_sleep_that_would_outlive_its_record_is_refused(bench: Bench, seconds: float) -> None:
    script.job = sleeps(seconds)
    row = bench.run(bench.dispatch("sample_again"))
    assert (row.status, row.error["kind"]) == (Status.FAILED, "WaitTooLong")


def test_all_sleeps_end_within_150_days_after_the_work_began(bench: Bench) -> None:
    def work(job: Any, payload: object) -> None:
        job.sleep("spring", 80 * DAY)
        job.sleep("summer", 80 * DAY)

    script.job = work
    row = bench.run(bench.dispatch("sample_once"))
    bench.advance(80 * DAY)
    row = bench.run(row)
    assert row.error["kind"] == "WaitTooLong"
    assert "At most 69 days are left" in row.error["message"]
    row = bench.run(caller_actions.retry_again(row, bench.send, {"number": 2}))
    assert row.status is Status.SCHEDULED  # another payload is other work, which has just begun


def test_a_retry_with_the_same_payload_comes_before_the_waits_are_forgotten(
    bench: Bench,
) -> None:
    script.job = sleeps(80 * DAY)
    row = bench.run(bench.dispatch("sample_once"))
    for _ in range(8):
        row = caller_actions.cancel(row)
        bench.advance(24 * DAY)
        row = caller_actions.retry_again(row, bench.send)
    row = caller_actions.cancel(row)
    bench.advance(9 * DAY)
    with pytest.raises(WrongState, match="began less than 200 days ago"):
        caller_actions.retry_again(row, bench.send)
    row = caller_actions.retry_again(row, bench.send, {"number": 2})
    assert row.status is Status.QUEUED
    row = caller_actions.cancel(row)
    assert caller_actions.retry_again(row, bench.send).status is Status.QUEUED  # its work is new


def test_a_job_that_never_waited_is_retried_however_old_it_is(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETENTION_DAYS", "365")
    forget()
    row = caller_actions.cancel(bench.dispatch("sample_once"))
    bench.advance(201 * DAY)
    assert caller_actions.retry_again(row, bench.send).status is Status.QUEUED


def test_a_name_is_for_one_wait_of_an_invocation(bench: Bench) -> None:
    def work(job: Any, payload: object) -> None:
        job.sleep("nap", 0)
        job.sleep("nap", 0)

    script.job = work
    assert bench.run(bench.dispatch("sample_once")).error["kind"] == "StepNameTaken"


def test_a_job_may_wait_only_so_often(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wait_endings, "MAX_WAITS", 1)

    def work(job: Any, payload: object) -> None:
        job.sleep("once", HOUR)
        job.sleep("twice", HOUR)

    script.job = work
    row = bench.run(bench.dispatch("sample_again"))
    bench.advance(HOUR)
    row = bench.run(row)
    assert (row.status, row.error["kind"]) == (Status.FAILED, "WaitsSpent")


def test_a_runner_that_cannot_send_again_has_no_sleep(bench: Bench) -> None:
    script.job = sleeps(HOUR)
    row: JobRequest = bench.dispatch("sample_once")
    execution.run(JobMessage.about(row), deadline=clock.now() + 900_000, send=CANNOT_SEND)
    assert bench.read(row).error["kind"] == "RunnerCannotResend"


def test_naive_times_are_refused(bench: Bench) -> None:
    script.job = lambda job, payload: job.sleep_until("nap", datetime(2030, 1, 1))  # noqa: DTZ001
    row = bench.run(bench.dispatch("sample_once"))
    assert "has no time zone" in row.error["message"]
