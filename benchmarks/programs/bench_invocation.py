"""Run the worker's first invocation. DynamoDB's responses are made inside the process."""

import job_runners.handlers.worker  # isort: skip # first, as in a function: it turns garbage collection off

import base64
import io
import json
import zlib
from typing import Any

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders

from job_runners.aws import clients

_ID = "0" * 32
_NOW = 1_800_000_000_000
_PAYLOAD = base64.b64encode(zlib.compress(b'{"name": "Ada", "times": 3}')).decode()
_ROW = {
    "id": {"S": _ID},
    "row_version": {"N": "1"},
    "job_type": {"S": "bench_typed"},
    "queue_name": {"S": "default"},
    "organization_id": {"S": "acme"},
    "payload": {"B": _PAYLOAD},
    "status": {"S": "running"},
    "attempt": {"N": "1"},
    "max_attempts": {"N": "1"},
    "invocations": {"N": "1"},
    "created_at": {"N": str(_NOW)},
    "created_key": {"S": f"00{_NOW}{_ID}"},
    "queued_at": {"N": str(_NOW)},
    "due_shard": {"S": "0"},
}


class _Context:
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:worker:live"
    aws_request_id = "00000000-0000-0000-0000-000000000000"

    def get_remaining_time_in_millis(self) -> int:
        return 900_000


class _Raw(io.BytesIO):
    def stream(self) -> list[bytes]:
        return [self.getvalue()]


def _answer(request: AWSPreparedRequest, **_: Any) -> AWSResponse:
    """Answer a read with the queued row, an update with the claimed row, and a query with none."""
    asked = json.loads(request.body)  # type: ignore[arg-type] # bytes, of this protocol
    answer: dict[str, Any] = {"Items": [], "Count": 0, "ScannedCount": 0}
    if "Key" in asked:
        answer = {"Item": {**_ROW, "status": {"S": "queued"}}}
    if "UpdateExpression" in asked:
        values = asked["ExpressionAttributeValues"].values()
        lease = max((each["N"] for each in values if len(each.get("N", "")) == 13), key=int)
        token, send_id = (each["S"] for each in values if len(each.get("S", "")) == 32)
        written = {"claim_token": {"S": token}, "lease_until": {"N": lease}, "due_at": {"N": lease}}
        answer = {"Attributes": {**_ROW, **written, "send_id": {"S": send_id}}}
    raw = _Raw(json.dumps(answer).encode())
    return AWSResponse(request.url, 200, HTTPHeaders(), raw)


clients.client("dynamodb").meta.events.register("before-send.dynamodb", _answer)
context: Any = _Context()
job_runners.handlers.worker.handler(
    {
        "v": 1,
        "kind": "job",
        "id": _ID,
        "job_type": "bench_typed",
        "send_id": "1" * 32,
        "queue_name": "default",
    },
    context,
)
raise SystemExit("the job was not called")
