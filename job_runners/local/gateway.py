"""API Gateway: the routes of the API, and the events that its function gets."""

import base64
import json
import time
import uuid
from typing import Any
from urllib.parse import parse_qsl, unquote

from job_runners.fake_dynamodb.behind_moto import ACCOUNT
from job_runners.local.function_pools import Functions
from job_runners.local.function_settings import API_ID, OPEN_ROUTES, STAGE, FunctionSettings
from job_runners.local.guard import Head
from job_runners.local.services import Answer
from job_runners.local.tokens import InvalidToken, Issuer

_TEXT_TYPES = ("text/", "application/json", "application/javascript", "application/xml")


class Gateway:
    """The HTTP API of one stack."""

    def __init__(self, settings: FunctionSettings, functions: Functions) -> None:
        """Prepare the routes. Raises LocalProblem if JwtIssuer is set without JwtAudience."""
        self._key, self._authorization = settings.route()
        issuer = settings.parameter("JwtIssuer")
        self._issuer = Issuer(issuer, settings.parameter("JwtAudience")) if issuer else None
        self._functions = functions

    def authorization_of(self, method: str, path: str) -> str | None:
        """Return the authorization type of the route for a path, or None without a route."""
        if not path.startswith(f"{STAGE}/"):
            return None
        return self._route(method, path.removeprefix(STAGE))[1]

    def _route(self, method: str, path: str) -> tuple[str, str]:
        for key in OPEN_ROUTES:
            its_method, _, its_path = key.partition(" ")
            fixed, brace, name = its_path.partition("{")
            rest = path.removeprefix(fixed)
            is_one_segment = rest != path and rest and ("+" in name or "/" not in rest)
            if method == its_method and (is_one_segment if brace else path == its_path):
                return key, "NONE"
        return self._key, self._authorization

    def routes(self) -> list[dict[str, str]]:
        """Return all routes as an answer of API Gateway lists them."""
        found = [(key, "NONE") for key in OPEN_ROUTES] + [(self._key, self._authorization)]
        return [{"routeKey": key, "authorizationType": kind} for key, kind in found]

    async def answer(
        self, head: Head, headers: dict[str, str], body: bytes, *, is_signed: bool
    ) -> Answer:
        """Answer a request to the stage, which the guard has admitted."""
        path = head.path.removeprefix(STAGE)
        key, authorization = self._route(head.method, unquote(path))
        event = _event(head, path, key, headers, body)
        if authorization == "JWT":
            assert self._issuer is not None  # noqa: S101 - it sets this authorization
            try:
                claims = await self._issuer.claims(headers.get("authorization", ""))
            except InvalidToken:
                return _message(401, "Unauthorized")
            event["requestContext"]["authorizer"] = {"jwt": {"claims": claims, "scopes": None}}
        elif authorization == "AWS_IAM":
            if not is_signed:
                return _message(403, "Forbidden")
            signer = {"userArn": f"arn:aws:iam::{ACCOUNT}:user/local", "accountId": ACCOUNT}
            event["requestContext"]["authorizer"] = {"iam": signer}
        reply = await self._functions.invoke("api", event)
        result = reply.get("result")
        if not isinstance(result, dict) or "statusCode" not in result:
            return _message(500, "Internal Server Error")
        text = result.get("body") or ""
        content = base64.b64decode(text) if result.get("isBase64Encoded") else text.encode()
        return result["statusCode"], result.get("headers") or {}, content


def _message(status: int, text: str) -> Answer:
    return status, {"Content-Type": "application/json"}, json.dumps({"message": text}).encode()


def _event(head: Head, path: str, key: str, headers: dict[str, str], body: bytes) -> dict[str, Any]:
    """Return the event of payload format 2.0."""
    now, plain = time.time(), unquote(path)
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": key,
        "rawPath": plain,
        "rawQueryString": head.query,
        "headers": headers,
        "requestContext": {
            "accountId": ACCOUNT,
            "apiId": API_ID,
            "domainName": headers.get("host", ""),
            "http": {
                "method": head.method,
                "path": plain,
                "protocol": "HTTP/1.1",
                "sourceIp": "127.0.0.1",
                "userAgent": headers.get("user-agent", ""),
            },
            "requestId": str(uuid.uuid4()),
            "routeKey": key,
            "stage": "$default",
            "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
            "timeEpoch": int(now * 1000),
        },
        "pathParameters": {"proxy": plain.lstrip("/")},
        "isBase64Encoded": False,
    }
    if head.query:
        event["queryStringParameters"] = dict(parse_qsl(head.query, keep_blank_values=True))
    if body:
        is_text = headers.get("content-type", "text/plain").startswith(_TEXT_TYPES)
        try:
            event["body"] = body.decode() if is_text else base64.b64encode(body).decode()
            event["isBase64Encoded"] = not is_text
        except UnicodeDecodeError:
            event |= {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}
    return event
