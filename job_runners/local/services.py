"""The AWS services of the local stack: our own DynamoDB in memory, and moto for most others.

Calls of CloudFormation and Lambda are about the stack itself, so they are handled here.

One thread handles all calls, so each is atomic. Signatures are checked before, by guard.py.
"""

import asyncio
import itertools
import json
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, unquote
from xml.sax.saxutils import escape

from botocore.awsrequest import AWSPreparedRequest
from botocore.compat import HTTPHeaders
from moto.backends import get_backend
from moto.core.botocore_stubber import BotocoreStubber
from moto.dynamodb.models.utilities import dynamo_json_dump

from job_runners.fake_dynamodb import behind_moto, boundary, stack_tables
from job_runners.fake_dynamodb.behind_moto import ACCOUNT, REGION
from job_runners.fake_dynamodb.expressions import Unsupported
from job_runners.local.function_pools import Functions
from job_runners.local.function_settings import (
    BUCKET,
    COORDINATION_TABLE,
    DEAD_LETTERS,
    TABLE,
    VISIBILITY_SECONDS,
    FunctionSettings,
)
from job_runners.local.guard import Head, Response

_MAX_RECEIVES = 100
_POLL_SECONDS = 0.1
_JSON = {"Content-Type": "application/x-amz-json-1.0"}
_stubber = BotocoreStubber()
MAX_LINES = 20_000  # in one log group; the oldest lines are dropped
_MAX_EVENTS = 10_000  # in one response, as in CloudWatch
_MAX_CHARACTERS = 5_000_000  # in one response, so that it doesn't take long


def backend(service: str) -> Any:
    """Return moto's state of a service in the local account and region."""
    account = get_backend(service)[ACCOUNT]  # type: ignore[call-overload]
    return account["aws" if service == "s3" else REGION]


class Services:
    """The services, with the resources of template.yaml."""

    def __init__(self, settings: FunctionSettings, functions: Functions) -> None:
        self.settings, self.functions = settings, functions
        self._created = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        self._by_name = {settings.physical_name(name): name for name in settings.functions}
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
            target = sqs.create_queue(dead_letters, None)
            redrive = {"deadLetterTargetArn": target.queue_arn, "maxReceiveCount": _MAX_RECEIVES}
            timeout = str(VISIBILITY_SECONDS)
            sqs.create_queue(
                name, None, RedrivePolicy=json.dumps(redrive), VisibilityTimeout=timeout
            )

    async def respond(self, service: str, head: Head, body: bytes) -> Response:
        """Return the response to an admitted call."""
        target = f"{head.path}?{head.query}" if head.query else head.path
        method, headers = head.method, head.headers
        operation = headers.get("x-amz-target", "").rpartition(".")[2]
        if head.path == "/_local/sms-messages":
            return sms_messages()
        if service == "cloudformation":
            return self._cloudformation(dict(parse_qsl(body.decode())))
        if service == "lambda":
            return await self._lambda(head, body)
        if service == "dynamodb":
            return _dynamodb(operation, method, target, headers, body)
        if service == "logs" and operation == "FilterLogEvents":
            events = self.logs.filter(json.loads(body))
            if events is not None:
                return 200, _JSON, json.dumps(events).encode()
        if service == "sqs" and operation == "ReceiveMessage":
            return await _receive(method, target, headers, body)
        if method not in ("GET", "HEAD"):
            self.on_change()
        return call_moto(service, method, target, headers, body)

    def _function(self, name: str) -> str | None:
        """Find a function by its name or its ARN, which may have an alias."""
        parts = name.split(":")
        is_arn = len(parts) > 6
        return self._by_name.get(parts[6] if is_arn else parts[0])

    async def _lambda(self, head: Head, body: bytes) -> Response:
        function = None
        match head.path.split("/"):
            case ["", _, "functions", name, "invocations"]:
                function = self._function(unquote(name))
        if function is None:
            problem = {"Message": f"The local AWS has no {head.path}.", "Type": "User"}
            not_found = {**_JSON, "X-Amzn-Errortype": "ResourceNotFoundException"}
            return 404, not_found, json.dumps(problem).encode()
        event = json.loads(body or b"{}")
        if head.headers.get("x-amz-invocation-type") == "Event":
            self.functions.send(function, event)
            return 202, {}, b""
        reply = await asyncio.ensure_future(self.functions.invoke(function, event))
        if "errorType" in reply:
            return 200, {**_JSON, "X-Amz-Function-Error": "Unhandled"}, json.dumps(reply).encode()
        return 200, _JSON, json.dumps(reply["result"]).encode()

    def _cloudformation(self, call: Mapping[str, str]) -> Response:
        own_name = self.settings.name
        operation, name = call.get("Action", ""), call.get("StackName", own_name)
        if name != own_name:
            return _xml_error("ValidationError", f"Stack with id {name} does not exist")
        if operation == "DescribeStacks":
            outputs = _member_elements(
                {"OutputKey": key, "OutputValue": value}
                for key, value in self.settings.outputs().items()
            )
            stack = {"StackName": own_name, "StackStatus": "CREATE_COMPLETE"}
            stack["CreationTime"] = self._created
            text = (
                f"<Stacks><member>{_elements(stack)}<Outputs>{outputs}</Outputs></member></Stacks>"
            )
        elif operation == "ListStackResources":
            resources = _member_elements(
                {
                    "LogicalResourceId": logical,
                    "PhysicalResourceId": physical,
                    "ResourceType": kind,
                    "ResourceStatus": "CREATE_COMPLETE",
                    "LastUpdatedTimestamp": self._created,
                }
                for logical, (kind, physical) in self.settings.resources().items()
            )
            text = f"<StackResourceSummaries>{resources}</StackResourceSummaries>"
        else:
            problem = "The local AWS answers only DescribeStacks and ListStackResources."
            return _xml_error("InvalidAction", problem)
        return _xml(200, f"<{operation}Result>{text}</{operation}Result>", f"{operation}Response")


def _dynamodb(
    operation: str, method: str, target: str, headers: dict[str, str], body: bytes
) -> Response:
    call = boundary.call_of(body)
    try:
        status, content = boundary.answer_to(operation, call)
    except Unsupported:
        with behind_moto.lend_items(operation, call):
            return call_moto("dynamodb", method, target, headers, body)
    return status, _JSON, dynamo_json_dump(content).encode()


async def _receive(method: str, target: str, headers: dict[str, str], body: bytes) -> Response:
    """Wait for messages as long as the call asks for. A wait in moto would block all calls."""
    call = json.loads(body)
    deadline = time.monotonic() + min(float(call.get("WaitTimeSeconds") or 0), 20)
    body_without_wait = json.dumps(call | {"WaitTimeSeconds": 0}).encode()
    while True:
        response = call_moto("sqs", method, target, headers, body_without_wait)
        status, _, content = response
        if status != 200 or b'"Messages"' in content or time.monotonic() >= deadline:
            return response
        await asyncio.sleep(_POLL_SECONDS)


def call_moto(
    service: str, method: str, target: str, headers: dict[str, str], body: bytes
) -> Response:
    """Pass a call to moto, and return its response."""
    host = "s3.amazonaws.com" if service == "s3" else f"{service}.{REGION}.amazonaws.com"
    moto_headers = HTTPHeaders()
    for name, value in headers.items():
        moto_headers[name] = host if name == "host" else value
    request = AWSPreparedRequest(
        method, f"https://{host}{target}", moto_headers, body, stream_output=False
    )
    response: Any = _stubber.process_request(request)
    if response is None:
        problem = {"__type": "UnknownOperation", "message": f"The local AWS has no {service}."}
        return 400, _JSON, json.dumps(problem).encode()
    status, response_headers, data = response
    content = data if isinstance(data, bytes) else str(data).encode()
    return status, dict(response_headers), content


def receive(queue: str) -> list[Any]:
    """Return up to ten messages of a queue."""
    if not backend("sqs").queues[queue]._messages:
        return []
    return list(backend("sqs").receive_message(queue, 10, 0, VISIBILITY_SECONDS))


def put(queue: str, body: str) -> None:
    """Send a message to a queue."""
    backend("sqs").send_message(queue, body)


def delete(queue: str, message: Any) -> None:
    """Delete a message that was received."""
    backend("sqs").delete_message(queue, message.receipt_handle)


def sms_messages() -> Response:
    """Return the SMS messages that SNS was asked to send, by phone number."""
    messages: dict[str, list[str]] = {}
    for phone_number, text, *_ in backend("sns").sms_messages.values():
        messages.setdefault(phone_number, []).append(text)
    body = json.dumps({"sms_messages": messages}).encode()
    return 200, {"Content-Type": "application/json"}, body


Line = tuple[int, int, str]
"""The number of a line, the time in milliseconds since 1970, and the text."""


class LogGroups:
    """The lines of each log group."""

    def __init__(self, groups: Iterable[str]) -> None:
        self.lines: dict[str, deque[Line]] = {group: deque(maxlen=MAX_LINES) for group in groups}
        self._numbers = itertools.count(1)

    def write(self, group: str, texts: Iterable[str], time_ms: int | None = None) -> None:
        """Append lines, with the current time by default."""
        if time_ms is None:
            time_ms = int(time.time() * 1000)
        self.lines[group].extend((next(self._numbers), time_ms, text) for text in texts)

    def filter(self, call: dict[str, Any]) -> dict[str, Any] | None:
        """Return the response to FilterLogEvents, or None for an unknown log group.

        A filter pattern is a quoted phrase, or words that must all occur in a line.
        """
        lines = self.lines.get(call.get("logGroupName") or call.get("logGroupIdentifier") or "")
        if lines is None:
            return None
        start, end = call.get("startTime", 0), call.get("endTime", 2**63)
        phrases = _phrases(call.get("filterPattern") or "")
        last_number = int(call.get("nextToken") or 0)  # of the previous response
        limit = min(call.get("limit", _MAX_EVENTS), _MAX_EVENTS)
        events: list[dict[str, Any]] = []
        size = 0
        for number, time_ms, text in lines:
            if number <= last_number or not start <= time_ms < end:
                continue
            if all(phrase in text for phrase in phrases):
                if len(events) == limit or size > _MAX_CHARACTERS:
                    return {"events": events, "nextToken": events[-1]["eventId"]}
                size += len(text)
                event = {"timestamp": time_ms, "ingestionTime": time_ms, "message": text}
                events.append({"logStreamName": "local", "eventId": str(number), **event})
        return {"events": events}


def _phrases(pattern: str) -> list[str]:
    if pattern.startswith('"') and pattern.endswith('"') and len(pattern) > 1:
        try:
            return [str(json.loads(pattern))]
        except ValueError:
            return [pattern[1:-1]]
    return pattern.split()


def _elements(values: Mapping[str, str]) -> str:
    return "".join(f"<{name}>{escape(value)}</{name}>" for name, value in values.items())


def _member_elements(members: Iterable[Mapping[str, str]]) -> str:
    return "".join(f"<member>{_elements(member)}</member>" for member in members)


def _xml_error(code: str, problem: str) -> Response:
    text = _elements({"Code": code, "Message": problem})
    return _xml(400, f"<Error>{text}</Error>", "ErrorResponse")


def _xml(status: int, text: str, root: str) -> Response:
    namespace = 'xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/"'
    return status, {"Content-Type": "text/xml"}, f"<{root} {namespace}>{text}</{root}>".encode()
