"""Measure a unit of work in this process: units.py UNIT COUNT FILE.

UNIT is one of ours, which writes the AWS calls that it makes into FILE, or `bare`: boto3 that makes
the calls in FILE. A database in this process answers, so both include the same cost of answers. The
last line printed is the CPU seconds of a unit: the lowest of several measurements of COUNT units.
"""

import base64
import io
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from botocore import xform_name
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.httpsession import URLLib3Session

from job_runners.fake_dynamodb.database import Database
from job_runners.fake_dynamodb.expressions import Attributes
from job_runners.fake_dynamodb.tables import Table

_WARM_UP = 10  # units that fill caches and finish lazy imports
MEASUREMENTS = 4
_WORKER = os.environ["WORKER_LAMBDA_FUNCTION_NAME"]
_PAYLOAD = {"name": "uploads/default/contacts.csv"}

Unit = Callable[[], object]


class _Aws:
    """Answers the requests of all clients, and keeps those of the last unit."""

    def __init__(self) -> None:
        self.jobs = Table("jobs", ("id",), {"id": "S"}, {})
        coordination = Table("coordination", ("pk", "sk"), {"pk": "S", "sk": "S"}, {})
        self.row: Attributes | None = None  # of the only job before each unit, if there is one
        self.requests: list[tuple[str, str]] = []
        self._database = Database({"jobs": self.jobs, "coordination": coordination}.__getitem__)

    def reset(self) -> None:
        self.requests.clear()
        self._database.clear("jobs")
        if self.row:
            self._database.store(self.jobs, self.jobs.key_of(self.row), self.row)

    def answer(self, request: Any) -> AWSResponse:
        operation = request.headers.get("X-Amz-Target", b"").decode().rpartition(".")[2]
        body, answer = bytes(request.body).decode(), b""
        self.requests.append((operation, body))
        if operation:
            found = self._database.answer(operation, _decoded(body))
            answer = _encoded(found).encode()
        return AWSResponse(request.url, 200 if operation else 202, HTTPHeaders(), _Raw(answer))


class _Raw(io.BytesIO):
    def stream(self) -> list[bytes]:
        return [self.getvalue()]


def _encoded(value: Any) -> str:
    return json.dumps(value, default=lambda data: base64.b64encode(data).decode())


def _decoded(body: str) -> Any:
    """Return the parameters of a request, with bytes in place of base64."""

    def part(value: dict[str, Any]) -> dict[str, Any]:
        return {"B": base64.b64decode(value["B"])} if [*value] == ["B"] else value

    return json.loads(body, object_hook=part)


def _ours(name: str, aws: _Aws) -> Unit:
    from job_runners.runners import get_job_runner
    from job_runners.runners.base import JobData

    runner = get_job_runner()

    def job() -> object:
        return runner.dispatch_job(JobData(job_type="bench_note", payload=_PAYLOAD))

    def task() -> object:
        return runner.dispatch_task("bench_task", _PAYLOAD)

    if name != "work":
        return {"job": job, "task": task}[name]
    from job_runners.handlers import worker
    from job_runners.testing.lambda_context import Context

    job()
    (item,) = aws.jobs.items.values()
    aws.row, message = item.attributes, json.loads(aws.requests[-1][1])
    context: Any = Context()
    return lambda: worker.handler(message, context)


def _bare(recorded: list[tuple[str, str]]) -> Unit:
    import boto3

    dynamodb, functions = boto3.client("dynamodb"), boto3.client("lambda")

    def invoke(**message: Any) -> object:
        answer = functions.invoke(
            FunctionName=_WORKER, InvocationType="Event", Payload=json.dumps(message)
        )
        return answer["Payload"].read()  # an unread response would cost a new connection each time

    calls = [
        (getattr(dynamodb, xform_name(operation)) if operation else invoke, _decoded(body))
        for operation, body in recorded
    ]

    def unit() -> None:
        for call, parameters in calls:
            call(**parameters)

    return unit


def main(name: str, count: int, file: Path) -> None:
    """Measure, print the result, and end the process as Lambda does: without a teardown."""
    aws = _Aws()
    URLLib3Session.send = aws.answer  # type: ignore[method-assign,assignment]
    if name == "bare":
        recorded = _decoded(file.read_text())
        aws.row, unit = recorded["row"], _bare(recorded["requests"])
    else:
        unit = _ours(name, aws)

    def seconds(units: int) -> float:
        began = time.process_time()
        for _ in range(units):
            aws.reset()
            unit()
        return (time.process_time() - began) / units

    seconds(_WARM_UP)
    if name != "bare":
        file.write_text(_encoded({"row": aws.row, "requests": aws.requests}))
    elif [each for each, _ in aws.requests] != [each for each, _ in recorded["requests"]]:
        raise SystemExit("boto3 didn't make the recorded calls")
    print(f"\n{min(seconds(count) for _ in range(MEASUREMENTS))!r}", flush=True)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
