"""A child that was saved before its parent died, and that no step records, still runs only once."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from bench import Bench
from job_runners.engine.control import caller_actions
from job_runners.engine.lines import pausing
from job_runners.engine.running import execution, failure_records
from job_runners.engine.wire.messages import JobMessage, encode
from job_runners.errors import UnknownJobType
from job_runners.settings import forget
from job_runners.store import limits, steps
from job_runners.store.job_request import JobRequest, Status
from job_runners.store.pauses import Kind
from job_runners.store.rate import Rate
from limited_queue import QUEUE
from sample_work import script

DAY = 24 * 3600


class Killed(BaseException):
    """The worker is gone."""


def dispatches(job: Any) -> None:
    job.dispatch("sample_once", {"text": "child"}, key="one")


def dispatches_many(job: Any) -> None:
    job.dispatch_many("sample_once", [("one", {"text": "child"})])


class Parents:
    """Runs jobs whose work is `work`. Children only count that they ran."""

    def __init__(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        self._bench = bench
        self._monkeypatch = monkeypatch
        self.children = 0

    def script(self, work: Callable[[Any], object]) -> None:
        """Let parents do this work from now on."""

        def run(job: Any, payload: Any) -> None:
            if payload.text == "child":
                self.children += 1
            else:
                work(job)

        script.job = run

    def start(self, work: Callable[[Any], object], job_type: str = "sample_again") -> JobRequest:
        """Dispatch a parent that does this work."""
        self.script(work)
        return self._bench.dispatch(job_type, payload={"text": "parent"})

    def die_before_the_record(self, row: JobRequest, *, unseen: bool = True) -> JobRequest:
        """Run the parent until its child is saved, and then kill its worker or, if that is seen,
        fail. The child runs."""

        def die(*_: Any) -> None:
            raise Killed

        with self._monkeypatch.context() as here:
            here.setattr(steps, "record", die)
            if unseen:
                here.setattr(execution, "_end", lambda *_: None)
            row = self._bench.run(row)
        children = [each for each in self._bench.sent_jobs if each != row.id]
        self._bench.sent.clear()
        for child in children:
            self._bench.run(self._bench.read(child))
        assert self.children == 1
        return row


@pytest.fixture
def parents(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Parents:
    return Parents(bench, monkeypatch)


def rescued(bench: Bench, row: JobRequest) -> JobRequest:
    bench.advance(1000)
    bench.tick()
    return bench.read(row)


def settled(bench: Bench, row: JobRequest) -> JobRequest:
    record = {
        "requestPayload": encode(JobMessage.about(row)._replace(send_id=row.send_id or "")),
        "requestContext": {"condition": "RetriesExhausted", "approximateInvokeCount": 1},
    }
    failure_records.handle_record(record, bench.send)
    return bench.read(row)


def retried_manually(bench: Bench, row: JobRequest) -> JobRequest:
    row = rescued(bench, row)
    bench.advance(28 * DAY)
    return caller_actions.retry_again(row, bench.send)


@pytest.mark.parametrize("work", [dispatches, dispatches_many])
@pytest.mark.parametrize(
    ("job_type", "goes_on"),
    [("sample_again", rescued), ("sample_again", settled), ("sample_once", retried_manually)],
)
def test_a_child_whose_row_has_expired_is_not_dispatched_again(
    bench: Bench, parents: Parents, work: Any, job_type: str, goes_on: Any
) -> None:
    row = parents.die_before_the_record(parents.start(work, job_type))
    row = goes_on(bench, row)
    bench.advance(31 * DAY)
    row = bench.run(row)
    assert (row.status, row.error["kind"]) == (Status.FAILED, "ChildExpired")
    assert "days ago" in row.error["message"]
    assert "'one'" not in row.error["message"]
    bench.deliver()
    assert parents.children == 1
    # A manual retry doesn't help, but with another payload the job starts over.
    row = bench.run(caller_actions.retry_again(row, bench.send))
    assert row.error["kind"] == "ChildExpired"
    row = bench.run(caller_actions.retry_again(row, bench.send, {"text": "from the start"}))
    assert row.status is Status.SUCCEEDED


def test_it_is_not_dispatched_again_if_the_parent_failed_while_it_recorded(
    bench: Bench, parents: Parents
) -> None:
    row = parents.die_before_the_record(parents.start(dispatches), unseen=False)
    bench.advance(31 * DAY)
    assert bench.run(row).error["kind"] == "ChildExpired"


def test_it_is_not_dispatched_again_after_a_pause_of_the_next_invocation(
    bench: Bench, parents: Parents
) -> None:
    def work(job: Any) -> None:
        if job.attempt == 2 and job.cursor is None:
            pausing.pause(Kind.QUEUE, "default")
            bench.advance(60)  # all processes have read it
            job.checkpoint(1)
        dispatches(job)

    row = rescued(bench, parents.die_before_the_record(parents.start(work)))
    assert bench.run(row).status is Status.WAITING
    bench.advance(25 * DAY)
    pausing.resume(Kind.QUEUE, "default", bench.send)
    bench.advance(5 * DAY)
    assert bench.run(row).error["kind"] == "ChildExpired"


def test_it_is_not_dispatched_again_after_a_pause_of_the_invocation_that_did_not_record_it(
    bench: Bench, parents: Parents, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(job: Any) -> None:
        if job.cursor is None:
            with monkeypatch.context() as refused, suppress(ZeroDivisionError):
                refused.setattr(steps, "record", lambda *_: 1 / 0)
                dispatches(job)
            pausing.pause(Kind.QUEUE, "default")
            bench.advance(60)  # all processes have read it
            job.checkpoint(1)
        dispatches(job)

    row = bench.run(parents.start(work))
    assert row.status is Status.WAITING
    pausing.resume(Kind.QUEUE, "default", bench.send)
    bench.advance(31 * DAY)
    assert bench.run(row).error["kind"] == "ChildExpired"


def test_a_child_whose_row_exists_is_recorded(bench: Bench, parents: Parents) -> None:
    row = rescued(bench, parents.die_before_the_record(parents.start(dispatches)))
    bench.advance(28 * DAY)
    assert bench.run(row).status is Status.SUCCEEDED
    bench.deliver()
    assert parents.children == 1


def test_the_first_days_count_if_the_parent_dies_several_times(
    bench: Bench, parents: Parents
) -> None:
    row = rescued(bench, parents.die_before_the_record(parents.start(dispatches)))
    bench.advance(20 * DAY)
    bench.claim(row)
    row = rescued(bench, row)
    bench.advance(20 * DAY)
    assert bench.run(row).error["kind"] == "ChildExpired"


# --- jobs that may dispatch, whatever they waited for ---------------------------------------------


@pytest.mark.parametrize("work", [dispatches, dispatches_many])
def test_a_job_that_was_cut_off_after_it_recorded_its_children_goes_on_late(
    bench: Bench, parents: Parents, monkeypatch: pytest.MonkeyPatch, work: Any
) -> None:
    row = parents.start(work)
    with monkeypatch.context() as killed:
        killed.setattr(execution, "_end", lambda *_: None)
        bench.run(row)
    row = rescued(bench, row)
    assert row.unrecorded_since is not None
    bench.advance(31 * DAY)
    assert bench.run(row).status is Status.SUCCEEDED


def test_a_job_that_failed_elsewhere_and_waited_in_line_dispatches_its_first_child(
    bench: Bench, parents: Parents
) -> None:
    def work(job: Any) -> None:
        if job.attempt == 1:
            raise ValueError("no luck")
        dispatches(job)

    parents.script(work)
    limits.put(QUEUE, rate=Rate(1, seconds=3600))
    row = bench.dispatch(payload={"text": "parent"}, queue_name=QUEUE)
    assert bench.run(row).status is Status.RETRYABLE
    bench.advance(60)
    assert bench.run(row).status is Status.WAITING
    bench.advance(31 * DAY)
    bench.deliver()  # the wake-up of its line
    assert bench.read(row).status is Status.SUCCEEDED


def test_a_job_that_was_cut_off_before_it_slept_dispatches_its_first_child(
    bench: Bench, parents: Parents
) -> None:
    def work(job: Any) -> None:
        job.sleep("long", 60 * DAY)
        dispatches(job)

    row = parents.start(work)
    bench.claim(row)
    row = rescued(bench, row)
    assert bench.run(row).status is Status.SCHEDULED
    bench.advance(60 * DAY)
    assert bench.run(row).status is Status.SUCCEEDED


def test_a_job_that_was_cut_off_before_it_let_others_run_dispatches_its_first_child(
    bench: Bench, parents: Parents
) -> None:
    def work(job: Any) -> None:
        if job.cursor is None:
            job.next_turn(1)
        dispatches(job)

    parents.script(work)
    limits.put(QUEUE, slots=1)
    row = bench.dispatch(payload={"text": "parent"}, queue_name=QUEUE)
    bench.claim(row)
    row = rescued(bench, row)
    bench.run(row)
    bench.advance(31 * DAY)
    assert bench.run(row).status is Status.SUCCEEDED


@pytest.mark.parametrize("error", [ValueError("no luck"), None])
def test_a_job_that_failed_elsewhere_or_was_refused_dispatches_its_first_child_late(
    bench: Bench, parents: Parents, error: Exception | None
) -> None:
    def work(job: Any) -> None:
        if job.attempt == 1:
            try:
                job.dispatch("unheard_of", {}, key="other")
            except UnknownJobType:
                raise (error or ZeroDivisionError) from None
        dispatches(job)

    row = bench.run(parents.start(work))
    assert row.status is Status.RETRYABLE
    bench.advance(31 * DAY)
    assert bench.run(row).status is Status.SUCCEEDED


def test_the_setting_says_how_long_rows_are_kept(
    bench: Bench, parents: Parents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETENTION_DAYS", "1")
    forget()
    row = rescued(bench, parents.die_before_the_record(parents.start(dispatches)))
    bench.advance(DAY - 1200)
    assert bench.run(row).error["kind"] == "ChildExpired"
