"""Requests as an HTTP API hands them to its function, and responses as a client reads them."""

import base64
import io
import json
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import parse_qsl, unquote, urlencode
from uuid import uuid4

import pytest
from aws_lambda_powertools.utilities.typing import LambdaContext

from job_runners.engine.telemetry.telemetry import logger
from job_runners.testing.lambda_context import Context

SIGNED_BY = {
    "accessKey": "AKIAIOSFODNN7EXAMPLE",
    "accountId": "123456789012",
    "callerId": "AIDACKCEVSQ6C2EXAMPLE",
    "cognitoIdentity": None,
    "principalOrgId": None,
    "userArn": "arn:aws:iam::123456789012:user/campaign-service",
    "userId": "AIDACKCEVSQ6C2EXAMPLE",
}


def request(
    method: str,
    path: str,
    *,
    body: Any = None,
    raw: str | bytes | None = None,
    query: dict[str, str] | str = "",
    headers: dict[str, str] | None = None,
    claims: dict[str, Any] | None = None,
    stage: str = "$default",
) -> dict[str, Any]:
    """Return an event of payload format 2.0. `body` is sent as JSON, `raw` as it is: text as API
    Gateway passes it on, bytes as base64. `claims` are those of a verified token; else it was
    signed."""
    query_string = query if isinstance(query, str) else urlencode(query)
    authorizer: dict[str, Any] = (
        {"iam": SIGNED_BY} if claims is None else {"jwt": {"claims": claims, "scopes": None}}
    )
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "ANY /{proxy+}",
        "rawPath": unquote(path),
        "rawQueryString": query_string,
        "headers": {"host": "api.test", **(headers or {"content-type": "application/json"})},
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "abc",
            "domainName": "api.test",
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "203.0.113.7",
                "userAgent": "test",
            },
            "requestId": f"request-{uuid4().hex[:8]}",
            "routeKey": "ANY /{proxy+}",
            "stage": stage,
            "time": "24/Nov/2026:12:00:00 +0000",
            "timeEpoch": 1795521600000,
            "authorizer": authorizer,
        },
        "pathParameters": {"proxy": path.lstrip("/")},
        "isBase64Encoded": isinstance(raw, bytes),
    }
    if query_string:
        event["queryStringParameters"] = dict(parse_qsl(query_string))
    if isinstance(raw, bytes):
        event["body"] = base64.b64encode(raw).decode()
    elif raw is not None or body is not None:
        event["body"] = raw if raw is not None else json.dumps(body)
    return event


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        """The body, as JSON."""
        return json.loads(self.text)


def send(event: dict[str, Any], context: Context | None = None) -> Answer:
    """Hand an event to the API's function, in this invocation if it is told of one."""
    from job_runners.handlers import api  # its import needs a configured environment

    response = api.handler(event, cast(LambdaContext, context))
    assert response["isBase64Encoded"] is False
    headers = {name.lower(): value for name, value in response["headers"].items()}
    return Answer(response["statusCode"], headers, response["body"])


def call(method: str, path: str, **parts: Any) -> Answer:
    """Make a request and return its answer."""
    return send(request(method, path, **parts))


class Logged:
    """What is logged from now on, as CloudWatch would get it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._stream = io.StringIO()
        monkeypatch.setattr(logger.registered_handler, "stream", self._stream)

    @property
    def text(self) -> str:
        """All of it."""
        return self._stream.getvalue()

    def lines(self, message: str) -> list[dict[str, Any]]:
        """Return the lines with this message."""
        lines = [json.loads(line) for line in self.text.splitlines()]
        return [line for line in lines if line["message"] == message]
