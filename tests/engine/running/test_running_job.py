"""What a job function is handed: how it reports, resumes, and learns that it has lost its claim."""

from contextlib import nullcontext
from datetime import date
from typing import Any

import pytest
from pydantic import BaseModel

import job_rows
from bench import Bench
from job_runners import clock
from job_runners.aws.errors import AWS_ERRORS
from job_runners.engine.running import execution
from job_runners.engine.running.children import Children
from job_runners.engine.wire.messages import JobMessage
from job_runners.engine.wire.sending import CANNOT_SEND
from job_runners.store import blobs
from job_runners.store.job_request import JobRequest, Status
from job_runners.testing.aws import forget
from job_runners.work.running_job import RunningJob
from job_runners.work.time_budget import TimeBudget
from outage import Outage
from sample_work import script

pytestmark = pytest.mark.usefixtures("aws")

read = job_rows.stored


def running(row: JobRequest | None = None, seconds: int = 900) -> RunningJob:
    budget = TimeBudget(deadline=clock.now() + seconds * 1000)
    return RunningJob(row or job_rows.claimed(), budget, lambda: Children(send=CANNOT_SEND))


def run(row: JobRequest) -> None:
    message = JobMessage(id=row.id, job_type="sample_again", send_id="s", queue_name="default")
    execution.run(message, deadline=clock.now() + 900_000, send=CANNOT_SEND)


@pytest.fixture
def sample_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBS_PACKAGES", "sample_work")
    forget()
    script.reset()


def test_it_says_whose_it_is_and_which_try() -> None:
    row = job_rows.claimed(job_rows.saved())
    job = running(row, seconds=10)
    assert (job.id, job.organization_id) == (row.id, "org")
    assert (job.attempt, job.invocation, job.cursor) == (1, 1, None)
    assert 8.9 < job.time_left() <= 9  # a tenth is kept back for recording the outcome


def test_progress_never_goes_back_and_stays_within_0_and_100() -> None:
    job = running()
    seen = []
    for progress in (10, 5, 250, -3):
        job.checkpoint(progress=progress)
        seen.append(job.progress)
    assert seen == [10, 10, 100, 100]


def test_a_checkpoint_can_be_read_by_everyone_at_once() -> None:
    row = job_rows.claimed()
    running(row).checkpoint({"row": 3}, progress=12.7, message="3 rows")
    row = read(row)
    assert (row.cursor, row.progress, row.result_message) == ({"row": 3}, 12, "3 rows")


def test_what_a_job_does_to_its_cursor_after_a_checkpoint_is_not_recorded(
    sample_work: None,
) -> None:
    def work(job: Any, payload: object) -> None:
        cursor = job.cursor or {"page": 0}
        job.checkpoint(cursor)
        cursor["page"] += 1
        raise ValueError("before page 1 was done")

    script.job = work
    row = job_rows.saved()
    run(row)
    assert read(row).cursor == {"page": 0}


def test_a_cursor_that_is_not_json_is_the_jobs_own_error(sample_work: None) -> None:
    script.job = lambda job, payload: job.checkpoint({1, 2})
    row = job_rows.saved()
    run(row)
    row = read(row)
    assert (row.status, row.error["kind"]) == (Status.RETRYABLE, "TypeError")


def test_the_next_attempt_starts_at_the_cursor_of_the_last() -> None:
    job = running(job_rows.claimed())
    job.checkpoint({"row": 3}, progress=50)
    again = running(job_rows.claimed(job_rows.retry(job._row)))
    assert (again.cursor, again.progress, again.attempt, again.invocation) == ({"row": 3}, 50, 2, 2)


def test_a_job_that_has_lost_its_claim_stops_at_its_next_checkpoint_and_writes_nothing(
    sample_work: None,
) -> None:
    reached: list[str] = []

    def work(job: Any, payload: object) -> str:
        job_rows.retry(read(JobRequest(id=job.id)))
        try:
            reached.append("checkpoint")
            job.checkpoint({"row": 1})
        except Exception:  # noqa: BLE001 - a job that swallows everything is stopped all the same
            reached.append("swallowed")
        reached.append("went on")
        return "a result nobody may see"

    script.job = work
    row = job_rows.saved()
    run(row)
    assert reached == ["checkpoint"]
    row = read(row)
    assert (row.status, row.cursor, row.result) == (Status.RETRYABLE, None, None)


@pytest.mark.parametrize("durable", [False, True])
def test_a_checkpoint_that_is_refused_for_good_is_the_jobs_own_error(
    durable: bool, bench: Bench, outage: Outage
) -> None:
    """It would be refused each time, and the job would repeat its work for ever."""
    told: list[str] = []

    def work(job: Any, payload: object) -> None:
        outage.begin("refused", only="UpdateItem")
        try:
            job.checkpoint({"row": 1}, durable=durable)
        except AWS_ERRORS as error:
            told.append(str(error))
        finally:
            outage.end()

    script.job = work
    bench.run(bench.dispatch())
    assert ["not authorized" in each for each in told] == [True]


def test_pauses_that_can_not_be_read_stop_no_job(bench: Bench, outage: Outage) -> None:
    def work(job: Any, payload: object) -> None:
        bench.advance(60)  # what the claim has read of them is too old by now
        outage.begin("refused", only="Query")
        job.checkpoint("one", durable=True)
        outage.end()

    script.job = work
    assert bench.run(bench.dispatch()).status is Status.SUCCEEDED
    assert outage.calls


class Dated(BaseModel):
    """What JSON has to say otherwise."""

    text: date


def test_models_go_to_children_and_tasks_and_come_back_as_json(bench: Bench) -> None:
    def work(job: Any, payload: Any) -> Any:
        if payload.text:
            return Dated(text=date(2026, 2, 1))
        model = Dated(text=date(2026, 1, 31))
        job.dispatch_task("sample_note", model)
        return job.dispatch("sample_once", model, key="child")

    script.job = work
    row = bench.run(bench.dispatch())
    child = bench.run(bench.read(blobs.get(row.result, row.result_key)))
    assert blobs.get(child.payload, child.payload_key) == {"text": "2026-01-31"}
    assert blobs.get(child.result, child.result_key) == {"text": "2026-02-01"}


def test_a_result_that_is_nested_without_end_is_no_json(bench: Bench) -> None:
    def work(job: Any, payload: object) -> Any:
        nested: list[Any] = []
        for _ in range(100_000):
            nested = [nested]
        return nested

    script.job = work
    row = bench.run(bench.dispatch("sample_once"))
    assert (row.status, row.error["kind"]) == (Status.FAILED, "ResultNotJson")


def test_a_report_between_two_cursors_forgets_none(bench: Bench) -> None:
    def work(job: Any, payload: object) -> None:
        job.checkpoint("one")
        job.checkpoint("two")  # not written: the last one was, just now
        job.checkpoint(progress=50, durable=True)
        assert bench.read(job.id).cursor == job.cursor == "two"

    script.job = work
    assert bench.run(bench.dispatch()).error is None


def test_writes_are_soon_at_first_and_then_further_apart(still: Bench) -> None:
    written: list[float] = []

    def work(job: Any, payload: object) -> None:
        for quarter in range(75):
            job.checkpoint(quarter)
            if still.read(job.id).cursor == quarter:
                written.append(quarter / 4)
            still.advance(0.25)

    script.job = work
    assert still.run(still.dispatch()).error is None
    assert written == [0, 0.5, 1.5, 3.5, 7.5, 12.5, 17.5]


@pytest.mark.parametrize("ending", ["returns", "raises"])
def test_an_outcome_that_comes_after_the_claim_is_lost_is_dropped(
    ending: str, sample_work: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(job: Any, payload: object) -> str:
        job_rows.abandon(read(JobRequest(id=job.id)), monkeypatch)
        if ending == "raises":
            raise ValueError("too late")
        return "too late"

    script.job = work
    row = job_rows.saved()
    run(row)
    row = read(row)
    assert (row.status, row.attempt, row.error["kind"]) == (Status.RETRYABLE, 2, "ValueError")
    assert row.error["message"] == "no luck"  # the rescue's own record, not this attempt's


def test_a_cursor_that_the_row_has_no_room_for_fails_the_job_and_not_the_row(bench: Bench) -> None:
    script.job = lambda job, payload: job.checkpoint("x" * 200_000)
    row = bench.run(bench.dispatch())
    assert (row.status, row.attempt, row.error["kind"]) == (Status.FAILED, 1, "CursorTooLarge")
    assert "200,002 bytes" in row.error["message"]


def test_a_message_is_a_line_for_a_person_and_no_more_is_kept(bench: Bench) -> None:
    script.job = lambda job, payload: job.checkpoint(message="x" * 200_000)
    assert len(bench.run(bench.dispatch()).result_message or "") == 1000


class Elsewhere(BaseException):
    """As asyncio's CancelledError is: no Exception."""


@pytest.mark.parametrize("error", [Elsewhere, SystemExit, KeyboardInterrupt])
def test_whatever_a_job_raises_is_its_outcome(bench: Bench, error: type[BaseException]) -> None:
    def work(job: Any, payload: object) -> None:
        raise error

    script.job = work
    row = bench.dispatch("sample_once")
    with pytest.raises(KeyboardInterrupt) if error is KeyboardInterrupt else nullcontext():
        bench.run(row)
    assert (bench.read(row).status, bench.read(row).error["kind"]) == (
        Status.FAILED,
        error.__name__,
    )


def test_a_timed_row_that_is_refused_for_another_reason_is_not_sent_round_in_circles(
    bench: Bench,
) -> None:
    """A row of newer code, after a rollback: it is due, and a newer worker will take it."""

    def fail(job: Any, payload: object) -> None:
        raise ValueError("no luck")

    script.job = fail
    row = bench.run(bench.dispatch())
    row.update([JobRequest.row_version.set(99)])
    bench.advance(1000)
    bench.sent.clear()
    assert bench.run(row).status is Status.RETRYABLE
    assert bench.sent == []
