"""Protect the local AWS from other programs and from web pages.

ministack itself accepts unsigned calls from any web page. Because a caller can create functions,
such a page could run its code on this machine.

The guard admits calls that are signed with this run's credentials. It admits an unsigned call only
where API Gateway would: to open routes, and to routes that check tokens themselves. A browser must
use one of the local AWS's own host names. So the guard refuses other names that lead to this
machine (DNS rebinding). It also refuses a browser's request from a page of another origin, even if
the request is signed.

The guard is an ASGI application around ministack's, in the same process. So ministack has no open
port.
"""

import json
from collections.abc import Awaitable, Callable, Iterable
from typing import Any
from xml.sax.saxutils import escape

from job_runners.local.signatures import Refused, Request, check_head, is_signed

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

HEALTH = "/_ministack/health"
NAMES = ("127.0.0.1", "localhost", "host.docker.internal")

_ADVICE = "Each run of the local AWS has its own credentials, in .local/env.sh."
_ACCESS_DENIED = "AccessDenied"
_READS = frozenset({"GET", "HEAD"})
_OWN_SITE = frozenset({"same-origin", "none"})
_NOT_REPEATABLE = (b"host", b"origin", b"authorization")
# The largest body that is read before its signature can be checked. The largest call contains a
# function's code, which is 50 MB as base64.
_MAX_UNCHECKED = 70_000_000


class Guard:
    """Passes admitted calls on to `app`.

    `secret_of` returns the secret of an access key, or None. `authorization_of` returns the
    authorization type that API Gateway requires for a method and path ("NONE", "JWT", "AWS_IAM").
    It returns None if the path is not one of its routes.
    """

    def __init__(
        self,
        app: App,
        port: int,
        secret_of: Callable[[str], str | None],
        authorization_of: Callable[[str, str], str | None],
        addresses: Iterable[str] = (),
    ) -> None:
        self._app = app
        self._secret_of = secret_of
        self._authorization_of = authorization_of
        self._hosts = frozenset(f"{name}:{port}" for name in (*NAMES, *addresses))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the server's own start and end."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":  # no service here uses it
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = _headers(scope)
        try:
            self._check_browser(scope, headers)
            if is_signed(headers.get("authorization", ""), _query(scope)):
                expected = check_head(_request(scope, headers), self._secret_of)
                limit = None if expected.is_signature_checked else _MAX_UNCHECKED
                body = await _read(receive, limit)
                if body is None:
                    return  # the caller is gone, and the body is incomplete
                expected.check(body)
                receive = _replay(body, receive)
            else:
                self._check_open(scope)
        except Refused as refused:
            await _refuse(send, refused, headers)
            return
        await self._app(scope, receive, _without_cors(send))

    def _check_browser(self, scope: Scope, headers: dict[str, str]) -> None:
        """Refuse a browser's requests from pages of other origins, or to other host names."""
        names = [name.lower() for name, _ in scope["headers"]]
        if any(names.count(name) > 1 for name in _NOT_REPEATABLE):
            raise Refused(_ACCESS_DENIED, "The request repeats Host, Origin or Authorization.")
        host = headers.get("host", "")
        if host not in self._hosts:
            raise Refused(_ACCESS_DENIED, f"Use {_join(self._hosts)} as the host, not {host!r}.")
        origins = {f"http://{host}"}
        if headers.get("sec-fetch-site") == "same-origin":
            origins.add("null")  # of a form on a page whose policy is no-referrer
        if headers.get("origin", f"http://{host}") not in origins:
            raise Refused(_ACCESS_DENIED, "A page of another origin can't use the local AWS.")
        if scope["method"] not in _READS and headers.get("sec-fetch-site", "none") not in _OWN_SITE:
            raise Refused(_ACCESS_DENIED, "A page of another site can't use the local AWS.")

    def _check_open(self, scope: Scope) -> None:
        """Refuse unsigned calls that need a signature."""
        if scope["path"] == HEALTH and scope["method"] in _READS:
            return
        authorization = self._authorization_of(scope["method"], scope["path"])
        if authorization not in ("NONE", "JWT"):
            raise Refused("MissingAuthenticationToken", "The call is not signed.")


def _headers(scope: Scope) -> dict[str, str]:
    """Return the headers by their names in lower case. A repeated header becomes one list."""
    found: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), _decode(raw_value)
        found[name] = f"{found[name]},{value}" if name in found else value
    return found


def _decode(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _query(scope: Scope) -> str:
    return str(scope["query_string"].decode("latin-1"))


def _request(scope: Scope, headers: dict[str, str]) -> Request:
    path = scope["raw_path"].decode("latin-1")
    return Request(scope["method"], path, _query(scope), headers)


async def _read(receive: Receive, limit: int | None) -> bytes | None:
    """Return the whole body, which the signature covers, or None if the caller disconnects first.

    Raises Refused for a body of more than `limit` bytes.
    """
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if limit is not None and size > limit:
            raise Refused(
                _ACCESS_DENIED, f"A body without a signed hash may have at most {limit} bytes."
            )
        if not message.get("more_body"):
            return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that returns the body again."""
    unread = [body]

    async def again() -> Message:
        if unread:
            return {"type": "http.request", "body": unread.pop(), "more_body": False}
        return await receive()

    return again


def _without_cors(send: Send) -> Send:
    """Return a `send` that drops the headers by which ministack lets every origin read answers."""

    async def send_without_cors(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [each for each in message["headers"] if not _is_cors(each[0])]
            message = {**message, "headers": kept}
        await send(message)

    return send_without_cors


def _is_cors(name: bytes) -> bool:
    return name.lower().startswith(b"access-control-")


async def _refuse(send: Send, refused: Refused, headers: dict[str, str]) -> None:
    """Answer in the format of the called service: XML or JSON."""
    problem = str(refused) if refused.code == _ACCESS_DENIED else f"{refused} {_ADVICE}"
    if _expects_xml(headers):
        text = f"<Code>{refused.code}</Code><Message>{escape(problem)}</Message>"
        kind, body = "text/xml", f"<ErrorResponse><Error>{text}</Error></ErrorResponse>"
    else:
        kind, body = "application/json", json.dumps({"__type": refused.code, "message": problem})
    answer = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 403, "headers": answer})
    await send({"type": "http.response.body", "body": body.encode()})


def _expects_xml(headers: dict[str, str]) -> bool:
    is_form = headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
    return is_form or "/s3/aws4_request" in headers.get("authorization", "")


def _join(hosts: Iterable[str]) -> str:
    return " or ".join(sorted(hosts))
