"""One suite for every runner: callers and jobs can't tell which one does the work."""

import json
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any
from unittest.mock import Mock

import pytest

import clock
import handlers.failures
import handlers.timer
import runners
from aws import bucket
from errors import (
    DoNotRetry,
    InvalidPayload,
    MissingObject,
    PayloadTooLarge,
    RetryAfter,
    RunnerCannotResend,
    SendFailed,
    UnknownJobType,
    UnknownTask,
)
from fake_lambda import FakeLambda
from fake_queue import FakeQueue
from runners import get_job_runner, timer
from runners.base import JobData, JobRunner
from runners.errors import IncompleteRunner, RunnerNotConfigured, UnknownRunner
from sample_work import script
from store import blobs, queries
from store.job_request import JobRequest, Status
from testing.aws import WORKER, forget
from testing.lambda_context import Context
from testing.shipped_operations import full_client


class Bench:
    """A runner, and how to let it do what it has been given."""

    def __init__(self, runner: JobRunner, drain: Callable[[], object], fake: FakeLambda) -> None:
        self.runner = runner
        self.drain = drain
        self.fake = fake

    def dispatch(self, job_type: str = "sample_once", **fields: Any) -> JobRequest:
        job = JobData(job_type=job_type, organization_id="org", **fields)
        return self.runner.dispatch_job(job)

    def outcome(self, job_type: str = "sample_once", **fields: Any) -> JobRequest:
        """Dispatch, let it run, read the row."""
        dispatched = self.dispatch(job_type, **fields)
        self.drain()
        row = queries.read(dispatched.id)
        assert row is not None
        return row


RUNNERS = {
    "legacy, waiting": {"JOB_RUNNER": "legacy", "JOBS_SYNC": "true", "TASKS_SYNC": "true"},
    "legacy, in threads": {"JOB_RUNNER": "legacy", "JOBS_SYNC": "false", "TASKS_SYNC": "false"},
    "lambda-async": {"JOB_RUNNER": "lambda-async", "WORKER_LAMBDA_FUNCTION_NAME": WORKER},
    "a module of one's own": {"JOB_RUNNER": "own.runner"},
    "examples/sqs_runner": {"JOB_RUNNER": "sqs_runner.runner"},
}


@pytest.fixture
def delay_queue(aws: None, monkeypatch: pytest.MonkeyPatch) -> str:
    url: str = full_client("sqs").create_queue(QueueName="delay")["QueueUrl"]
    monkeypatch.setenv("DELAY_QUEUE_URL", url)
    work = full_client("sqs").create_queue(QueueName="work")["QueueUrl"]
    monkeypatch.setenv("WORK_QUEUE_URL", work)
    return url


@pytest.fixture
def choose(delay_queue: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Bench]]:
    """Make a bench for one of RUNNERS."""
    script.reset()
    monkeypatch.setenv("EXTENSIONS", "sample_work")
    monkeypatch.setitem(sys.modules, "own", ModuleType("own"))
    monkeypatch.setitem(sys.modules, "own.runner", own_runner())

    def choice(name: str) -> Bench:
        for variable, value in RUNNERS[name].items():
            monkeypatch.setenv(variable, value)
        forget()
        fake = FakeLambda()
        runner = get_job_runner()
        drain: dict[str, Callable[[], object]] = {
            "lambda-async": fake.deliver,
            "examples/sqs_runner": FakeQueue(os.environ["WORK_QUEUE_URL"]).deliver,
        }
        return Bench(runner, drain.get(name, threads_done), fake)

    yield choice
    threads_done()


@pytest.fixture(params=RUNNERS)
def bench(request: pytest.FixtureRequest, choose: Callable[[str], Bench]) -> Bench:
    return choose(request.param)


@pytest.fixture
def lambda_bench(choose: Callable[[str], Bench]) -> Bench:
    return choose("lambda-async")


def own_runner() -> ModuleType:
    """Return the least an organisation's own module needs: here it borrows from legacy."""
    from runners import legacy

    module = ModuleType("own.runner")
    module.__dict__.update(
        fully_configured=lambda: True,
        dispatch_job=legacy.dispatch_job,
        dispatch_task=legacy.dispatch_task,
        send=legacy.send,
    )
    return module


def threads_done() -> None:
    from runners import legacy

    legacy._threads().shutdown()
    legacy._threads.cache_clear()


# --- every runner ---------------------------------------------------------------------------------


def test_a_dispatched_job_is_returned_as_saved_and_ends_in_success(bench: Bench) -> None:
    saved = bench.dispatch(payload={"number": 5}, campaign_id="c")
    assert saved.status is Status.QUEUED
    bench.drain()
    row = queries.read(saved.id)
    assert row is not None
    assert row.status is Status.SUCCEEDED
    assert (row.campaign_id, row.organization_id, row.queue_name) == ("c", "org", "default")
    assert script.jobs_run == [(saved.id, 1, 1)]


def test_the_job_gets_its_payload_as_its_model(bench: Bench) -> None:
    seen: list[Any] = []
    script.job = lambda job, payload: seen.append(payload)
    bench.outcome(payload={"number": 7, "text": "é"})
    assert [(each.number, each.text) for each in seen] == [(7, "é")]


def test_a_large_payload_and_result_come_back_unchanged(bench: Bench) -> None:
    large = random.Random(1).randbytes(1_000_000).hex()  # 2 MB that nothing compresses
    script.job = lambda job, payload: {"back": payload.text}
    row = bench.outcome(payload={"text": large})
    assert row.status is Status.SUCCEEDED
    assert row.payload_key
    assert row.result_key
    assert blobs.get(row.payload, row.payload_key) == {"text": large}
    assert blobs.get(row.result, row.result_key) == {"back": large}


def test_a_job_whose_payload_is_gone_fails_once_and_says_so(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = "the object 'payloads/x' is missing from the bucket"
    monkeypatch.setattr(bucket, "get_bytes", Mock(side_effect=MissingObject("payloads/x")))
    row = bench.outcome("sample_again", payload={"text": random.Random(1).randbytes(9999).hex()})
    assert (row.status, row.attempt) == (Status.FAILED, 1)
    assert row.error is not None
    assert row.error["message"] == gone
    assert not script.jobs_run


def test_an_untagged_job_that_raises_fails_with_its_error(bench: Bench) -> None:
    def fail(job: object, payload: object) -> None:
        raise ValueError("no such list")

    script.job = fail
    row = bench.outcome()
    assert row.status is Status.FAILED
    assert row.error["kind"] == "ValueError"
    assert row.error["message"] == "no such list"
    assert "in fail" in row.error["traceback"]
    assert len(script.jobs_run) == 1


def test_a_job_that_calls_exit_fails_like_any_other(bench: Bench) -> None:
    script.job = lambda job, payload: sys.exit(3)
    row = bench.outcome()
    assert (row.status, row.error["kind"]) == (Status.FAILED, "SystemExit")


def test_a_result_that_is_not_json_fails_the_job_and_says_so(bench: Bench) -> None:
    for result in ({1, 2}, float("nan"), "\ud800", object()):
        script.job = lambda job, payload, result=result: {"x": result}  # type: ignore[misc]
        row = bench.outcome()
        assert (row.status, row.error["kind"]) == (Status.FAILED, "ResultNotJson")


def test_a_tagged_job_that_raises_is_retryable_and_not_run_before_its_time(bench: Bench) -> None:
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


def test_do_not_retry_fails_a_tagged_job_at_once(bench: Bench) -> None:
    def fail(job: object, payload: object) -> None:
        raise DoNotRetry("the list is gone")

    script.job = fail
    assert bench.outcome("sample_again").status is Status.FAILED
    assert len(script.jobs_run) == 1


def test_an_unknown_job_type_is_refused_with_the_nearest_name_and_nothing_saved(
    bench: Bench,
) -> None:
    with pytest.raises(UnknownJobType, match="did you mean 'sample_once'"):
        bench.dispatch("sample_onc")
    assert queries.page("org", limit=5).jobs == []


def test_a_wrong_payload_is_refused_field_by_field_and_nothing_saved(bench: Bench) -> None:
    with pytest.raises(InvalidPayload) as refused:
        bench.dispatch(payload={"number": "many", "txt": 1})
    assert [each["field"] for each in refused.value.problems] == ["payload.number", "payload.txt"]
    assert queries.page("org", limit=5).jobs == []


def test_a_task_runs_with_its_payload(bench: Bench) -> None:
    bench.runner.dispatch_task("sample_note", {"number": 3})
    bench.drain()
    assert [each.number for each in script.tasks_run] == [3]


def test_a_task_that_raises_disturbs_nobody(bench: Bench) -> None:
    def fail(payload: object) -> None:
        raise ValueError("no luck")

    script.task = fail
    bench.runner.dispatch_task("sample_note", {})
    bench.drain()
    assert len(script.tasks_run) == 1


def test_an_unknown_task_and_a_wrong_payload_are_refused(bench: Bench) -> None:
    with pytest.raises(UnknownTask, match="'sample_note'"):
        bench.runner.dispatch_task("sample_nte", {})
    with pytest.raises(InvalidPayload):
        bench.runner.dispatch_task("sample_note", {"number": -1})
    assert script.tasks_run == []


def test_a_task_over_100_kb_is_refused_with_the_advice_to_make_it_a_job(bench: Bench) -> None:
    with pytest.raises(PayloadTooLarge, match="should be a job"):
        bench.runner.dispatch_task("sample_note", {"text": "x" * 102_400})
    bench.runner.dispatch_task("sample_note", {"text": "x" * 102_000})
    bench.drain()
    assert len(script.tasks_run) == 1


def test_work_that_would_not_survive_a_wire_is_refused_in_process_too(bench: Bench) -> None:
    with pytest.raises((InvalidPayload, TypeError)):
        bench.runner.dispatch_task("sample_note", {"text": object()})


def test_a_job_dispatched_by_a_job_runs_after_it_not_inside_it(
    choose: Callable[[str], Bench],
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


# --- lambda-async ---------------------------------------------------------------------------------


def test_a_redelivered_event_does_not_run_the_job_again(lambda_bench: Bench) -> None:
    fake = lambda_bench.fake
    lambda_bench.dispatch()
    fake.events *= 3
    fake.deliver()
    assert len(script.jobs_run) == 1


def test_the_worker_is_invoked_as_an_event_at_its_alias(lambda_bench: Bench) -> None:
    fake = lambda_bench.fake
    lambda_bench.dispatch()
    (call,) = fake.invokes
    assert call["type"] == b"Event"
    assert "function%3Aworker%3Alive" in call["url"]


@pytest.mark.parametrize("status", [429, 500, 404])
def test_a_job_whose_send_fails_is_due_and_the_timer_sends_it(
    status: int, lambda_bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # botocore's own retries
    fake = lambda_bench.fake
    fake.refuse = status
    row = lambda_bench.dispatch()
    assert row.status is Status.QUEUED
    fake.refuse = None
    monkeypatch.setattr(clock, "now", lambda: row.created_at + 61_000)
    sender = runners.sender()
    assert sender is not None
    assert timer.tick(sender, until=clock.now() + 1).met[timer.Disposition.SENT] == 1
    fake.deliver()
    assert [each[0] for each in script.jobs_run] == [row.id]


def test_a_task_whose_send_fails_says_so(
    lambda_bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    lambda_bench.fake.refuse = 429
    with pytest.raises(SendFailed, match=r"task .* could not be sent"):
        lambda_bench.runner.dispatch_task("sample_note", {})


def test_a_retry_comes_back_through_the_delay_queue_and_resumes(
    lambda_bench: Bench, delay_queue: str
) -> None:
    def fail_once(job: Any, payload: object) -> Any:
        if job.attempt == 1:
            job.checkpoint({"row": 4})
            raise RetryAfter(0.5, "busy")
        return {"resumed_at": job.cursor}

    script.job = fail_once
    fake = lambda_bench.fake
    row = lambda_bench.dispatch("sample_again")
    fake.deliver()
    event = receive_delayed(delay_queue)
    assert (event["id"], event["kind"]) == (row.id, "job")
    fake.events.append(event)
    fake.deliver()
    assert script.jobs_run == [(row.id, 1, 1), (row.id, 2, 2)]
    end = queries.read(row.id)
    assert end is not None
    assert (end.status, end.error) == (Status.SUCCEEDED, None)


def test_a_tagged_task_is_sent_again_with_its_attempt_and_in_the_end_given_up(
    lambda_bench: Bench, delay_queue: str
) -> None:
    def fail(payload: object) -> None:
        raise RetryAfter(0.5, "busy")

    script.task = fail
    fake = lambda_bench.fake
    lambda_bench.runner.dispatch_task("sample_note_again", {"number": 9})
    attempts = []
    for _ in range(2):
        fake.deliver()
        event = receive_delayed(delay_queue)
        attempts.append(event["attempt"])
        fake.events.append(event)
    fake.deliver()
    assert attempts == [2, 3]
    assert len(script.tasks_run) == 3
    assert receive_delayed(delay_queue) is None


def test_what_waits_longer_than_a_queue_can_hold_it_comes_early_or_by_the_timer(
    lambda_bench: Bench, delay_queue: str
) -> None:
    """Nothing but its message knows of a task: the queue lets it go early. A job is due."""

    def wait(*_: object) -> None:
        raise RetryAfter(3600, "busy")

    script.task = script.job = wait
    lambda_bench.runner.dispatch_task("sample_note_again", {})
    lambda_bench.fake.deliver()
    assert pending(delay_queue) == "1"
    row = lambda_bench.outcome("sample_again")
    assert (row.status, pending(delay_queue)) == (Status.RETRYABLE, "1")


def receive_delayed(queue_url: str) -> Any:
    """Return what the delay queue hands out, once its delay is over."""
    for _ in range(20):
        waiting = int(pending(queue_url))  # asked first: meanwhile a delay may end
        messages = full_client("sqs").receive_message(QueueUrl=queue_url).get("Messages", [])
        if messages:
            (message,) = messages
            full_client("sqs").delete_message(
                QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"]
            )
            return json.loads(message["Body"])
        if waiting == 0:
            return None
        time.sleep(0.1)
    raise AssertionError("a delayed message never became visible")


def pending(queue_url: str) -> str:
    name = "ApproximateNumberOfMessagesDelayed"
    attributes = full_client("sqs").get_queue_attributes(QueueUrl=queue_url, AttributeNames=[name])
    value: str = attributes["Attributes"][name]
    return value


# --- refused at start -----------------------------------------------------------------------------


def start(monkeypatch: pytest.MonkeyPatch, **environment: str) -> JobRunner:
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    forget()
    return get_job_runner()


def test_legacy_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JOB_RUNNER")
    assert start(monkeypatch).__name__ == "runners.legacy"  # type: ignore[attr-defined]


def test_an_unknown_runner_is_refused_with_the_known_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownRunner, match=r"'lambda'.*lambda-async, legacy"):
        start(monkeypatch, JOB_RUNNER="lambda")


def test_a_module_that_can_not_be_imported_is_refused_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(UnknownRunner, match="No module named 'acme'"):
        start(monkeypatch, JOB_RUNNER="acme.runner")


def test_a_module_that_lacks_a_function_is_refused_naming_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = ModuleType("acme.runner")
    module.fully_configured = lambda: True  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "acme", ModuleType("acme"))
    monkeypatch.setitem(sys.modules, "acme.runner", module)
    with pytest.raises(IncompleteRunner, match=r"define dispatch_job\(\), dispatch_task\(\)"):
        start(monkeypatch, JOB_RUNNER="acme.runner")


@pytest.mark.parametrize(
    ("variables", "missing"),
    [
        ({"JOB_RUNNER": "lambda-async"}, "WORKER_LAMBDA_FUNCTION_NAME is not set"),
        (
            {"JOB_RUNNER": "lambda-async", "WORKER_LAMBDA_FUNCTION_NAME": WORKER},
            "DELAY_QUEUE_URL is not set",
        ),
        (
            {"JOB_RUNNER": "lambda-async", "WORKER_LAMBDA_FUNCTION_NAME": "worker"},
            "the ARN of an alias",
        ),
        ({"JOBS_TABLE_NAME": ""}, "JOBS_TABLE_NAME is not set"),
        ({"AWS_LAMBDA_FUNCTION_NAME": "api", "JOBS_SYNC": "false"}, "JOBS_SYNC=true"),
        ({"AWS_LAMBDA_FUNCTION_NAME": "api", "TASKS_SYNC": "false"}, "TASKS_SYNC=true"),
    ],
)
def test_a_runner_that_is_not_fully_configured_names_what_is_missing(
    variables: dict[str, str], missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RunnerNotConfigured, match=missing):
        start(monkeypatch, **variables)


def test_a_runner_that_says_it_is_not_configured_is_refused(
    choose: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    sys.modules["own.runner"].fully_configured = lambda: False  # type: ignore[attr-defined]
    with pytest.raises(RunnerNotConfigured, match="returned False"):
        start(monkeypatch, JOB_RUNNER="own.runner")


@pytest.mark.parametrize("handler", [handlers.failures.handler, handlers.timer.handler])
def test_a_runner_that_can_not_send_has_no_timer_and_settles_nothing(
    choose: Callable[[str], Bench], handler: Callable[[Any, Any], object]
) -> None:
    del sys.modules["own.runner"].send
    choose("a module of one's own")
    with pytest.raises(RuntimeError, match=r"JOB_RUNNER names has no send\(\)"):
        handler({"Records": []}, Context())


def test_a_runner_that_can_not_send_again_refuses_jobs_that_may_need_it(
    choose: Callable[[str], Bench],
) -> None:
    del sys.modules["own.runner"].send
    bench = choose("a module of one's own")
    with pytest.raises(RunnerCannotResend, match="no send"):
        bench.dispatch("sample_again")
    assert bench.outcome("sample_once").status is Status.SUCCEEDED
