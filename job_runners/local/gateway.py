"""A local API Gateway: it finds a request's route, checks tokens, and calls the API function."""

import base64
import json
import time
import uuid
from typing import Any
from urllib.parse import parse_qsl, unquote

from job_runners.fake_dynamodb.behind_moto import ACCOUNT
from job_runners.local.function_pools import Functions
from job_runners.local.function_settings import API_ID, STAGE, FunctionSettings
from job_runners.local.guard import Head
from job_runners.local.services import Response
from job_runners.local.tokens import InvalidToken, Issuer

_TEXT_TYPES = ("text/", "application/json", "application/javascript", "application/xml")


class Gateway:
    """The HTTP API of one stack."""

    def __init__(self, settings: FunctionSettings, functions: Functions) -> None:
        """Prepare the routes. Raises LocalProblem if JwtIssuer is set without JwtAudience."""
        self._routes = settings.routes()
        issuer = settings.parameter("JwtIssuer")
        self._issuer = Issuer(issuer, settings.parameter("JwtAudience")) if issuer else None
        self._functions = functions

    def authorization_of(self, method: str, path: str) -> str | None:
        """Return the authorization type of the route for a path, or None without a route."""
        if not path.startswith(f"{STAGE}/"):
            return None
        return self._route(method, path.removeprefix(STAGE))[1]

    def _route(self, method: str, path: str) -> tuple[str, str]:
        """Return the key and the authorization type of the route for a path."""
        for key, kind in self._routes.items():
            route_method, _, route_path = key.partition(" ")
            if kind == "NONE" and method == route_method and _matches(route_path, path):
                return key, kind
        return next(route for route in self._routes.items() if route[1] != "NONE")

    async def respond(
        self, head: Head, headers: dict[str, str], body: bytes, *, is_signed: bool
    ) -> Response:
        """Return the response to a request of the stage that the guard has admitted."""
        path = head.path.removeprefix(STAGE)
        key, authorization = self._route(head.method, unquote(path))
        event = _event(head, path, key, headers, body)
        if authorization == "JWT":
            assert self._issuer is not None  # noqa: S101 - with an issuer, the type is JWT
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


def _matches(route_path: str, path: str) -> bool:
    """Return whether a path matches a route's path, such as /answers/{token} or /{proxy+}."""
    prefix, brace, variable = route_path.partition("{")
    if not brace:
        return path == route_path
    value = path.removeprefix(prefix)
    if not path.startswith(prefix) or not value:
        return False
    return "+" in variable or "/" not in value


def _message(status: int, text: str) -> Response:
    return status, {"Content-Type": "application/json"}, json.dumps({"message": text}).encode()


def _event(head: Head, path: str, key: str, headers: dict[str, str], body: bytes) -> dict[str, Any]:
    """Return the event for the function, in payload format 2.0."""
    now = time.time()
    decoded_path = unquote(path)
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": key,
        "rawPath": decoded_path,
        "rawQueryString": head.query,
        "headers": headers,
        "requestContext": {
            "accountId": ACCOUNT,
            "apiId": API_ID,
            "domainName": headers.get("host", ""),
            "http": {
                "method": head.method,
                "path": decoded_path,
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
        "pathParameters": {"proxy": decoded_path.lstrip("/")},
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
