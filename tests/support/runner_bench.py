"""A bench for each runner: the two of ours, one of an organisation's own, and the one by SQS."""

import os
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from api_worker import create_delay_queue
from fake_lambda import FakeLambda
from fake_queue import FakeQueue
from job_runners.runners import get_job_runner
from job_runners.runners.base import JobData, JobRunner
from job_runners.store import queries
from job_runners.store.job_request import JobRequest
from job_runners.testing.aws import WORKER_ARN, forget
from job_runners.testing.plain_clients import full_client
from sample_work import script


class RunnerBench:
    """A runner, and how to let it do what it has been given."""

    def __init__(self, runner: JobRunner, drain: Callable[[], object], fake: FakeLambda) -> None:
        self.runner = runner
        self.drain = drain
        self.fake = fake

    def dispatch(self, job_type: str = "sample_once", **fields: Any) -> JobRequest:
        job = JobData(job_type=job_type, organization_id="org", **fields)
        return self.runner.dispatch_job(job).row

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
    "lambda-async": {"JOB_RUNNER": "lambda-async", "WORKER_LAMBDA_FUNCTION_NAME": WORKER_ARN},
    "a module of one's own": {"JOB_RUNNER": "own.runner"},
    "examples/sqs_runner": {"JOB_RUNNER": "sqs_runner.runner"},
}


@pytest.fixture
def delay_queue(aws: None, monkeypatch: pytest.MonkeyPatch) -> str:
    url = create_delay_queue()
    monkeypatch.setenv("DELAY_QUEUE_URL", url)
    work = full_client("sqs").create_queue(QueueName="work")["QueueUrl"]
    monkeypatch.setenv("WORK_QUEUE_URL", work)
    return url


@pytest.fixture
def choose(
    delay_queue: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], RunnerBench]]:
    """Make a bench for one of RUNNERS."""
    script.reset()
    monkeypatch.setenv("JOBS_PACKAGES", "sample_work")
    monkeypatch.setitem(sys.modules, "own", ModuleType("own"))
    monkeypatch.setitem(sys.modules, "own.runner", own_runner())

    def choice(name: str) -> RunnerBench:
        for variable, value in RUNNERS[name].items():
            monkeypatch.setenv(variable, value)
        forget()
        fake = FakeLambda()
        runner = get_job_runner()
        drain: dict[str, Callable[[], object]] = {
            "lambda-async": fake.deliver,
            "examples/sqs_runner": FakeQueue(os.environ["WORK_QUEUE_URL"]).deliver,
        }
        return RunnerBench(runner, drain.get(name, threads_done), fake)

    yield choice
    threads_done()


@pytest.fixture
def lambda_bench(choose: Callable[[str], RunnerBench]) -> RunnerBench:
    return choose("lambda-async")


def own_runner() -> ModuleType:
    """Return the least an organisation's own module needs: here it borrows from legacy."""
    from job_runners.runners import legacy

    module = ModuleType("own.runner")
    module.__dict__.update(
        fully_configured=lambda: True,
        dispatch_job=legacy.dispatch_job,
        dispatch_task=legacy.dispatch_task,
        send=legacy.send,
    )
    return module


def threads_done() -> None:
    from job_runners.runners import legacy

    legacy._threads().shutdown()
    legacy._threads.cache_clear()
