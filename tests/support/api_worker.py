"""The API in front of a worker that is a Lambda in this process."""

import pytest

from fake_lambda import FakeLambda
from job_runners.testing.aws import WORKER_ARN, forget
from job_runners.testing.plain_clients import full_client
from sample_work import script


@pytest.fixture
def worker(aws: None, monkeypatch: pytest.MonkeyPatch) -> FakeLambda:
    """Sample jobs are sent to a Lambda that delivers them when told to."""
    send_to_lambda(monkeypatch, create_delay_queue())
    return FakeLambda()


def create_delay_queue() -> str:
    """Return the address of a new delay queue."""
    url: str = full_client("sqs").create_queue(QueueName="delay")["QueueUrl"]
    return url


def send_to_lambda(monkeypatch: pytest.MonkeyPatch, delay_queue: str = "https://a.test/q") -> None:
    """Have the sample work sent to WORKER_ARN, and what waits to the queue at this address."""
    for variable, value in {
        "JOBS_PACKAGES": "sample_work",
        "JOB_RUNNER": "lambda-async",
        "WORKER_LAMBDA_FUNCTION_NAME": WORKER_ARN,
        "DELAY_QUEUE_URL": delay_queue,
    }.items():
        monkeypatch.setenv(variable, value)
    forget()
    script.reset()
