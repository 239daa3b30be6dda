"""Record the AWS calls of one job's dispatch and run: record.py FILE.

benchmarks/recording.py explains why.
"""

import io
import json
import sys
from pathlib import Path
from typing import Any

from botocore.awsrequest import AWSPreparedRequest, AWSRequest, AWSResponse
from botocore.compat import HTTPHeaders
from moto import mock_aws

from job_runners.aws import clients
from job_runners.handlers import worker
from job_runners.runners import get_job_runner
from job_runners.runners.base import JobData
from job_runners.testing.aws import create_tables
from job_runners.testing.lambda_context import Context
from job_runners.testing.movable_clock import MovableClock
from work_unit import JOB_TYPE, PAYLOAD

# Seconds by which the clock is ahead while recording, so that no recorded item is overdue later.
_AHEAD = 60 * 60.0


class _Calls:
    """Records the calls of clients."""

    def __init__(self) -> None:
        self.made: list[dict[str, str]] = []
        self._request = ""

    def watch(self, client: Any) -> None:
        """Record the calls of this client from now on."""
        client.meta.events.register("request-created", self._on_request)
        client.meta.events.register("response-received", self._on_response)

    def request_of(self, operation: str) -> str:
        """Return the body of the only request with this operation."""
        (found,) = (each["request"] for each in self.made if each["operation"] == operation)
        return found

    def _on_request(self, request: AWSRequest, **_: Any) -> None:
        self._request = _text(request.data or b"")

    def _on_response(self, response_dict: dict[str, Any], event_name: str, **_: Any) -> None:
        operation = event_name.rpartition(".")[2]
        body = response_dict["body"]
        response = _text(body) if isinstance(body, bytes | str) else ""
        self.made.append({"operation": operation, "request": self._request, "response": response})


def _text(body: bytes | str) -> str:
    return body.decode() if isinstance(body, bytes) else body


class _Raw(io.BytesIO):
    def stream(self) -> list[bytes]:
        return [self.getvalue()]


def _accept(request: AWSPreparedRequest, **_: Any) -> AWSResponse:
    """Accept an event like Lambda, because moto has no function to invoke."""
    return AWSResponse(request.url, 202, HTTPHeaders(), _Raw())


def record() -> list[dict[str, str]]:
    """Dispatch one job on moto, run it, and return the calls."""
    movable_clock = MovableClock()
    movable_clock.advance(_AHEAD)
    with mock_aws(), movable_clock.in_use():
        create_tables()
        calls, lambda_client = _Calls(), clients.client("lambda")
        lambda_client.meta.events.register_first("before-send.lambda", _accept)
        for client in (clients.client("dynamodb"), lambda_client):
            calls.watch(client)
        get_job_runner().dispatch_job(JobData(job_type=JOB_TYPE, payload=PAYLOAD))
        context: Any = Context()
        worker.handler(json.loads(calls.request_of("Invoke")), context)
    return calls.made


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(record(), indent=1))
