"""The log group of a worker, on moto, and lines in it."""

import pytest

from job_runners.settings import forget
from job_runners.testing.plain_clients import full_client

GROUP = "stack-WorkerLogGroup-1"
_STREAM = "one"


def make_worker_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the group, and tell the API of it."""
    monkeypatch.setenv("WORKER_LOG_GROUP_NAME", GROUP)
    forget()
    full_client("logs").create_log_group(logGroupName=GROUP)
    full_client("logs").create_log_stream(logGroupName=GROUP, logStreamName=_STREAM)


def put_line(text: str, at: int) -> None:
    """Log a line, at a time in milliseconds."""
    full_client("logs").put_log_events(
        logGroupName=GROUP,
        logStreamName=_STREAM,
        logEvents=[{"timestamp": at, "message": text}],
    )
