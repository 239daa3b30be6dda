"""The boundary between code and AWS, where a hostile Lambda does most of its harm.

Before a call it kills, throttles, or lets the world go on meanwhile; after one that has landed it
kills, or loses the response.
"""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast
from unittest.mock import patch

from botocore import UNSIGNED
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.retries.quota import RetryQuota
from moto.core.models import botocore_stubber
from moto.dynamodb.models.utilities import dynamo_json_dump

from store import aws as clients
from testing import moto_direct
from testing.hostile_invocation import Invocation
from testing.hostile_lambda import HostileLambda
from testing.moto_direct import Row, plain

_SERVICES = ("dynamodb", "lambda", "s3", "sqs")
_SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>slow down</Message></Error>"


class Boundary:
    """Every call to AWS, of whoever runs in a world."""

    def __init__(self, world: HostileLambda) -> None:
        self._world = world
        self._losing = False  # the response of the call under way

    @contextmanager
    def standing(self) -> Iterator[None]:
        """Calls made inside go through here."""
        hooks = [
            (clients.client(service).meta.events, f"{event}.{service}", hook)
            for service in _SERVICES
            for event, hook in (
                ("before-send", self._before_send),
                ("needs-retry", self._after_response),
                ("choose-signer", _choose_signer),
            )
        ]
        for events, event, hook in hooks:
            events.register_first(event, hook)
        try:
            with (
                patch.object(botocore_stubber, "enabled", False),  # moto answers through us
                # What the client has left to spend on retries must not depend on earlier histories.
                patch.object(RetryQuota, "acquire", lambda quota, amount: True),
            ):
                yield
        finally:
            for events, event, hook in hooks:
                events.unregister(event, hook)

    def _before_send(self, request: Any, event_name: str, **_: Any) -> AWSResponse:
        world = self._world
        world.check_alive("before a call")
        # More kindness than harm, or nothing would ever get anywhere. Most of the harm is for those
        # that work: they stand still, are overtaken, and meet what is left of a killed successor.
        working = bool(world.stack) and world.stack[-1].name == "worker"
        kindness = (7 if len(world.stack) == 1 else 3) if working else 21
        match world.chance("before a call", kindness + 3) - kindness:
            case 0:
                world.kill("before a call")
            case 1 if len(world.stack) < 3:
                world.meanwhile()
            case 2:
                world.figures["throttled"] += 1
                if ".s3." in event_name:
                    return AWSResponse("", 503, HTTPHeaders(), _Raw(_SLOW_DOWN))
                return _answer(400, {"__type": "ThrottlingException", "message": "slow down"})
        return self._take(request, event_name)

    def _take(self, request: Any, event_name: str) -> AWSResponse:
        """The call lands."""
        if ".s3." in event_name:
            with patch.object(botocore_stubber, "enabled", True):
                return cast(AWSResponse, botocore_stubber(event_name, request))
        if "SendMessage" in str(request.headers.get("X-Amz-Target", "")):
            call = json.loads(request.body)
            self._world.take_delayed(json.loads(call["MessageBody"]), call["DelaySeconds"])
            return _answer(200, {"MessageId": "m"})
        if str(request.url).endswith("/invocations"):
            self._world.take_invoke(json.loads(request.body))
            return _answer(202, None)
        status, body = moto_direct.answer(request)
        if status == 200:
            operation = str(request.headers["X-Amz-Target"]).rpartition(".")[2].strip("'")
            self._landed(operation, json.loads(request.body))
        return _answer(status, body)

    def _landed(self, operation: str, call: dict[str, Any]) -> None:
        self._world.on_landed(operation, call)
        if operation == "TransactWriteItems" and self._world.stack:
            for update in (each["Update"] for each in call["TransactItems"] if "Update" in each):
                row = moto_direct.row(update["TableName"], update["Key"])
                self._saw_write(self._world.stack[-1], row)

    def _after_response(self, response: Any, operation: Any, **_: Any) -> int | None:
        world = self._world
        if response is None or response[0].status_code >= 300:
            self._losing = False
            return None
        if operation.name == "UpdateItem" and world.stack:
            self._saw_write(world.stack[-1], plain(response[1]["Attributes"]))
        match world.chance("after a call", 24):
            case 22:
                world.kill("after a call")
            case 23 if not self._losing:
                world.figures["responses lost"] += 1
                self._losing = True
                return 0  # botocore sends it again at once
        self._losing = False
        return None

    def _saw_write(self, invocation: Invocation, row: Row) -> None:
        claimed = row["status"] == "running"  # and not held back instead
        if invocation.name == "worker" and invocation.claim is None and claimed:
            invocation.claim = row.get("claim_token")
            self._world.claims[row["claim_token"]] = invocation
        self._world.on_write(invocation, row)


def _choose_signer(event_name: str, **_: Any) -> Any:
    """Only moto's S3 reads signatures, and making them takes a tenth of a history's time."""
    return None if ".s3." in event_name else UNSIGNED


def _answer(status: int, body: Any) -> AWSResponse:
    text = b"" if body is None else dynamo_json_dump(body).encode()
    return AWSResponse("", status, HTTPHeaders(), _Raw(text))


class _Raw(io.BytesIO):
    """As much of a urllib3 response as botocore reads."""

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self.read()
