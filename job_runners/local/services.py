"""The AWS services of the local stack: the tables in memory, and moto for everything else.

All calls are answered in one thread, so each is atomic. Nothing here checks signatures: guard.py
does. moto imports a service's module at the first use.
"""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

from botocore.awsrequest import AWSPreparedRequest
from botocore.compat import HTTPHeaders
from moto.backends import get_backend
from moto.core.botocore_stubber import BotocoreStubber
from moto.dynamodb.models.utilities import dynamo_json_dump

from job_runners.fake_dynamodb import behind_moto, boundary, stack_tables
from job_runners.fake_dynamodb.behind_moto import ACCOUNT, REGION
from job_runners.fake_dynamodb.expressions import Unsupported
from job_runners.local.function_settings import (
    BUCKET,
    COORDINATION_TABLE,
    DEAD_LETTERS,
    TABLE,
    VISIBILITY_SECONDS,
    FunctionSettings,
)
from job_runners.local.log_groups import LogGroups

Answer = tuple[int, dict[str, str], bytes]
"""The status, the headers and the body of a response."""

_MAX_RECEIVES = 100
_POLL_SECONDS = 0.1
_JSON = {"Content-Type": "application/x-amz-json-1.0"}
_stubber = BotocoreStubber()


def backend(service: str) -> Any:
    """Return moto's data of a service in the local account and region."""
    account = get_backend(service)[ACCOUNT]  # type: ignore[call-overload]
    return account["aws" if service == "s3" else REGION]


class Services:
    """The services, with the resources of template.yaml."""

    def __init__(self, settings: FunctionSettings) -> None:
        self.logs = LogGroups(
            name for kind, name in settings.resources().values() if kind == "AWS::Logs::LogGroup"
        )
        self.on_change: Callable[[], None] = lambda: None
        stack_tables.create(TABLE, COORDINATION_TABLE)
        behind_moto.database().on_write.append(lambda _: self.on_change())
        backend("s3").create_bucket(BUCKET, REGION)
        backend("s3").put_bucket_versioning(BUCKET, "Enabled")
        sqs = backend("sqs")
        for name, dead_letters in DEAD_LETTERS.items():
            dead = sqs.create_queue(dead_letters, None)
            redrive = {"deadLetterTargetArn": dead.queue_arn, "maxReceiveCount": _MAX_RECEIVES}
            timeout = str(VISIBILITY_SECONDS)
            sqs.create_queue(
                name, None, RedrivePolicy=json.dumps(redrive), VisibilityTimeout=timeout
            )

    async def answer(
        self, service: str, method: str, target: str, headers: dict[str, str], body: bytes
    ) -> Answer:
        """Answer a call that is already verified. `target` is the path with the query."""
        operation = headers.get("x-amz-target", "").rpartition(".")[2]
        if service == "dynamodb":
            return _dynamodb(operation, method, target, headers, body)
        if service == "logs" and operation == "FilterLogEvents":
            found = self.logs.filter(json.loads(body))
            if found is not None:
                return 200, _JSON, json.dumps(found).encode()
        if service == "sqs" and operation == "ReceiveMessage":
            return await _receive(method, target, headers, body)
        if method not in ("GET", "HEAD"):
            self.on_change()
        return call_moto(service, method, target, headers, body)


def _dynamodb(
    operation: str, method: str, target: str, headers: dict[str, str], body: bytes
) -> Answer:
    call = boundary.call_of(body)
    try:
        status, answer = boundary.answer_to(operation, call)
    except Unsupported:
        with behind_moto.items_of(operation, call):
            return call_moto("dynamodb", method, target, headers, body)
    return status, _JSON, dynamo_json_dump(answer).encode()


async def _receive(method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
    """Wait for messages as long as the call asks for. moto's own wait would stop all calls."""
    call = json.loads(body)
    until = time.monotonic() + min(float(call.get("WaitTimeSeconds") or 0), 20)
    now = json.dumps(call | {"WaitTimeSeconds": 0}).encode()
    while True:
        answer = call_moto("sqs", method, target, headers, now)
        if answer[0] != 200 or b'"Messages"' in answer[2] or time.monotonic() >= until:
            return answer
        await asyncio.sleep(_POLL_SECONDS)


def call_moto(
    service: str, method: str, target: str, headers: dict[str, str], body: bytes
) -> Answer:
    """Let moto answer a call."""
    host = "s3.amazonaws.com" if service == "s3" else f"{service}.{REGION}.amazonaws.com"
    given = HTTPHeaders()
    for name, value in headers.items():
        given[name] = host if name == "host" else value
    request = AWSPreparedRequest(method, f"https://{host}{target}", given, body, False)
    found: Any = _stubber.process_request(request)
    if found is None:
        problem = {"__type": "UnknownOperation", "message": f"The local AWS has no {service}."}
        return 400, _JSON, json.dumps(problem).encode()
    status, answered, data = found
    return status, dict(answered), data if isinstance(data, bytes) else str(data).encode()


def receive(queue: str) -> list[Any]:
    """Return messages of a queue that are due."""
    if not backend("sqs").queues[queue]._messages:
        return []
    return list(backend("sqs").receive_message(queue, 10, 0, VISIBILITY_SECONDS))


def put(queue: str, body: str) -> None:
    """Send a message to a queue."""
    backend("sqs").send_message(queue, body)


def delete(queue: str, message: Any) -> None:
    """Delete a message that was received."""
    backend("sqs").delete_message(queue, message.receipt_handle)


def sent_texts() -> Answer:
    """Answer which texts SNS was asked to send to phones, by number."""
    texts: dict[str, list[str]] = {}
    for number, text, *_ in backend("sns").sms_messages.values():
        texts.setdefault(number, []).append(text)
    answer = json.dumps({"sms_messages": texts}).encode()
    return 200, {"Content-Type": "application/json"}, answer
