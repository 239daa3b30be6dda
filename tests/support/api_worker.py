"""The API in front of a worker that is a Lambda in this process."""

import pytest

from fake_lambda import FakeLambda
from sample_work import script
from testing.aws import WORKER, forget
from testing.shipped_operations import full_client


@pytest.fixture
def worker(aws: None, monkeypatch: pytest.MonkeyPatch) -> FakeLambda:
    """Sample jobs are sent to a Lambda that delivers them when told to."""
    url = full_client("sqs").create_queue(QueueName="delay")["QueueUrl"]
    for variable, value in {
        "EXTENSIONS": "sample_work",
        "JOB_RUNNER": "lambda-async",
        "WORKER_LAMBDA_FUNCTION_NAME": WORKER,
        "DELAY_QUEUE_URL": url,
    }.items():
        monkeypatch.setenv(variable, value)
    forget()
    script.reset()
    return FakeLambda()
