"""One suite for every runner: callers and jobs can't tell which one does the work."""

import random
import sys
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest

from job_runners import clock
from job_runners.aws import bucket
from job_runners.errors import (
    DoNotRetry,
    InvalidPayload,
    MissingObject,
    PayloadTooLarge,
    RetryAfter,
    UnknownJobType,
    UnknownTask,
)
from job_runners.store import blobs, queries
from job_runners.store.job_request import Status
from runner_bench import RUNNERS, RunnerBench
from sample_work import script


@pytest.fixture(params=RUNNERS)
def bench(request: pytest.FixtureRequest, choose: Callable[[str], RunnerBench]) -> RunnerBench:
    return choose(request.param)


def test_a_dispatched_job_is_returned_as_saved_and_ends_in_success(bench: RunnerBench) -> None:
    saved = bench.dispatch(payload={"number": 5})
    assert saved.status is Status.QUEUED
    bench.drain()
    row = queries.read(saved.id)
    assert row is not None
    assert row.status is Status.SUCCEEDED
    assert (row.organization_id, row.queue_name) == ("org", "default")
    assert script.jobs_run == [(saved.id, 1, 1)]


def test_the_job_gets_its_payload_as_its_model(bench: RunnerBench) -> None:
    seen: list[Any] = []
    script.job = lambda job, payload: seen.append(payload)
    bench.outcome(payload={"number": 7, "text": "é"})
    assert [(each.number, each.text) for each in seen] == [(7, "é")]


def test_a_large_payload_and_result_come_back_unchanged(bench: RunnerBench) -> None:
    large = random.Random(1).randbytes(1_000_000).hex()  # 2 MB that nothing compresses
    script.job = lambda job, payload: {"back": payload.text}
    row = bench.outcome(payload={"text": large})
    assert row.status is Status.SUCCEEDED
    assert row.payload_key
    assert row.result_key
    assert blobs.get(row.payload, row.payload_key) == {"text": large}
    assert blobs.get(row.result, row.result_key) == {"back": large}


def test_a_job_whose_payload_is_gone_fails_once_and_says_so(
    bench: RunnerBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = "The object 'payloads/x' is missing from the bucket."
    monkeypatch.setattr(bucket, "get_bytes", Mock(side_effect=MissingObject("payloads/x")))
    row = bench.outcome("sample_again", payload={"text": random.Random(1).randbytes(9999).hex()})
    assert (row.status, row.attempt) == (Status.FAILED, 1)
    assert row.error is not None
    assert row.error["message"] == gone
    assert not script.jobs_run


def test_an_untagged_job_that_raises_fails_with_its_error(bench: RunnerBench) -> None:
    def fail(job: object, payload: object) -> None:
        raise ValueError("no such list")

    script.job = fail
    row = bench.outcome()
    assert row.status is Status.FAILED
    assert row.error["kind"] == "ValueError"
    assert row.error["message"] == "no such list"
    first, last = row.error["traceback"].splitlines()[1::3][:2]  # no frame of ours is among them
    assert first.startswith('  File "tests/support/sample_work.py", line ')
    assert last.startswith('  File "tests/runners/test_runners.py", line ')
    assert "in fail" in last
    assert len(script.jobs_run) == 1


def test_a_job_that_calls_exit_fails_like_any_other(bench: RunnerBench) -> None:
    script.job = lambda job, payload: sys.exit(3)
    row = bench.outcome()
    assert (row.status, row.error["kind"]) == (Status.FAILED, "SystemExit")


def test_a_result_that_is_not_json_fails_the_job_and_says_so(bench: RunnerBench) -> None:
    for result in ({1, 2}, float("nan"), "\ud800", object()):
        script.job = lambda job, payload, result=result: {"x": result}  # type: ignore[misc]
        row = bench.outcome()
        assert (row.status, row.error["kind"]) == (Status.FAILED, "ResultNotJson")


def test_a_tagged_job_that_raises_is_retryable_and_not_run_before_its_time(
    bench: RunnerBench,
) -> None:
    def fail(job: Any, payload: object) -> None:
        job.checkpoint({"row": 10}, progress=30, message="halfway")
        job.checkpoint({"row": 20}, progress=40)  # too soon after the first to be written
        raise RetryAfter(3600, "their API is full")

    script.job = fail
    row = bench.outcome("sample_again")
    assert row.status is Status.RETRYABLE
    assert (row.attempt, row.max_attempts) == (2, 3)
    assert (row.cursor, row.progress, row.result_message) == ({"row": 20}, 40, "halfway")
    assert row.run_at == row.due_at
    assert 3_590_000 < (row.run_at or 0) - clock.now() <= 3_600_000
    assert row.error["message"] == "their API is full; retry after 3600 s"


def test_do_not_retry_fails_a_tagged_job_at_once(bench: RunnerBench) -> None:
    def fail(job: object, payload: object) -> None:
        raise DoNotRetry("the list is gone")

    script.job = fail
    assert bench.outcome("sample_again").status is Status.FAILED
    assert len(script.jobs_run) == 1


def test_an_unknown_job_type_is_refused_with_the_nearest_name_and_nothing_saved(
    bench: RunnerBench,
) -> None:
    with pytest.raises(UnknownJobType, match="Did you mean 'sample_once'"):
        bench.dispatch("sample_onc")
    assert queries.page("org", limit=5).jobs == []


def test_a_wrong_payload_is_refused_field_by_field_and_nothing_saved(bench: RunnerBench) -> None:
    with pytest.raises(InvalidPayload) as refused:
        bench.dispatch(payload={"number": "many", "txt": 1})
    assert [each["field"] for each in refused.value.problems] == ["payload.number", "payload.txt"]
    assert queries.page("org", limit=5).jobs == []


def test_a_task_runs_with_its_payload(bench: RunnerBench) -> None:
    bench.runner.dispatch_task("sample_note", {"number": 3})
    bench.drain()
    assert [each.number for each in script.tasks_run] == [3]


def test_a_task_that_raises_disturbs_nobody(bench: RunnerBench) -> None:
    def fail(payload: object) -> None:
        raise ValueError("no luck")

    script.task = fail
    bench.runner.dispatch_task("sample_note", {})
    bench.drain()
    assert len(script.tasks_run) == 1


def test_an_unknown_task_and_a_wrong_payload_are_refused(bench: RunnerBench) -> None:
    with pytest.raises(UnknownTask, match="'sample_note'"):
        bench.runner.dispatch_task("sample_nte", {})
    with pytest.raises(InvalidPayload):
        bench.runner.dispatch_task("sample_note", {"number": -1})
    assert script.tasks_run == []


def test_a_task_over_100_kb_is_refused_with_the_advice_to_make_it_a_job(bench: RunnerBench) -> None:
    with pytest.raises(PayloadTooLarge, match="Use a job instead"):
        bench.runner.dispatch_task("sample_note", {"text": "x" * 102_400})
    bench.runner.dispatch_task("sample_note", {"text": "x" * 102_000})
    bench.drain()
    assert len(script.tasks_run) == 1


def test_work_that_would_not_survive_a_wire_is_refused_in_process_too(bench: RunnerBench) -> None:
    with pytest.raises((InvalidPayload, TypeError)):
        bench.runner.dispatch_task("sample_note", {"text": object()})


def test_a_job_dispatched_by_a_job_runs_after_it_not_inside_it(
    choose: Callable[[str], RunnerBench],
) -> None:
    bench, order = choose("legacy, waiting"), []

    def parent(job: Any, payload: Any) -> None:
        order.append(f"start {payload.number}")
        if payload.number:
            bench.dispatch(payload={"number": payload.number - 1})
        order.append(f"end {payload.number}")

    script.job = parent
    bench.dispatch(payload={"number": 2})
    assert order == ["start 2", "end 2", "start 1", "end 1", "start 0", "end 0"]
