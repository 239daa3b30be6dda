"""Stands in front of the local AWS, which itself would take unsigned calls from any web page.

Whoever may call it can run code on this machine: a function is code. So a call is let in when it is
signed with this run's credentials, and unsigned only to what API Gateway would let in: open routes,
and a route that looks at tokens itself. A browser is let in only from the local AWS's own origin,
under its own name: a page of another origin is refused, signed or not, and so is a name that was
made to lead here (DNS rebinding).

It is an ASGI application around ministack's, in the same process: no port of ministack's own is
open beside it.
"""

import json
from collections.abc import Awaitable, Callable, Iterable
from typing import Any
from xml.sax.saxutils import escape

from local.signatures import Refused, Request, check_head, is_signed

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

HEALTH = "/_ministack/health"
NAMES = ("127.0.0.1", "localhost", "host.docker.internal")

_ADVICE = "Each run has its own credentials: make run writes them to .local/env.sh"
_NOT_FROM_HERE = "AccessDenied"
_READS = frozenset({"GET", "HEAD"})
_OWN_SITE = frozenset({"same-origin", "none"})
_ONCE = (b"host", b"origin", b"authorization")
# A body that must be read before its signature can be checked: a function's code in a call is the
# largest, 50 MB as base64.
_MOST_UNCHECKED = 70_000_000


class Guard:
    """Passes on to `app` what it lets in.

    `secret_of` is the secret of an access key, or None. `authorization_of` is what API Gateway asks
    of a method and path ("NONE", "JWT", "AWS_IAM"), or None where the path is no route of its.
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
        elif scope["type"] == "websocket":  # nothing here speaks it
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
                body = await _read(receive, None if expected.is_named else _MOST_UNCHECKED)
                if body is None:
                    return  # the caller is gone, and what came of the body is not all of it
                expected.check(body)
                receive = _replay(body, receive)
            else:
                self._check_open(scope)
        except Refused as refused:
            await _refuse(send, refused, headers)
            return
        await self._app(scope, receive, _without_cors(send))

    def _check_browser(self, scope: Scope, headers: dict[str, str]) -> None:
        """Refuse what a page of another origin, or under another name, makes a browser send."""
        names = [name.lower() for name, _ in scope["headers"]]
        if any(names.count(name) > 1 for name in _ONCE):
            raise Refused(_NOT_FROM_HERE, "a header that counts is there twice")
        host = headers.get("host", "")
        if host not in self._hosts:
            raise Refused(_NOT_FROM_HERE, f"this is {_listed(self._hosts)}, and not {host!r}")
        if headers.get("origin", f"http://{host}") != f"http://{host}":
            raise Refused(_NOT_FROM_HERE, "a page of another origin may not use the local AWS")
        if scope["method"] not in _READS and headers.get("sec-fetch-site", "none") not in _OWN_SITE:
            raise Refused(_NOT_FROM_HERE, "a page of another site may not use the local AWS")

    def _check_open(self, scope: Scope) -> None:
        """Refuse what needs a signature."""
        if scope["path"] == HEALTH and scope["method"] in _READS:
            return
        asks = self._authorization_of(scope["method"], scope["path"])
        if asks not in ("NONE", "JWT"):
            raise Refused("MissingAuthenticationToken", "the call is not signed")


def _headers(scope: Scope) -> dict[str, str]:
    """Return the headers by their names in lower case; one that is there several times as one
    list."""
    found: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), _decoded(raw_value)
        found[name] = f"{found[name]},{value}" if name in found else value
    return found


def _decoded(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _query(scope: Scope) -> str:
    return str(scope["query_string"].decode("latin-1"))


def _request(scope: Scope, headers: dict[str, str]) -> Request:
    path = scope["raw_path"].decode("latin-1")
    return Request(scope["method"], path, _query(scope), headers)


async def _read(receive: Receive, most: int | None) -> bytes | None:
    """Return the whole body: the signature is about it. None if the caller is gone before its end.

    Raises Refused for a body of more than `most` bytes.
    """
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if most is not None and size > most:
            raise Refused(
                _NOT_FROM_HERE, f"a body whose hash is not signed has {most} bytes at most"
            )
        if not message.get("more_body"):
            return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    """As `receive` was before the body was read."""
    unread = [body]

    async def again() -> Message:
        if unread:
            return {"type": "http.request", "body": unread.pop(), "more_body": False}
        return await receive()

    return again


def _without_cors(send: Send) -> Send:
    """Leave out ministack's leave for every origin to read what it answers."""

    async def without(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [each for each in message["headers"] if not _is_cors(each[0])]
            message = {**message, "headers": kept}
        await send(message)

    return without


def _is_cors(name: bytes) -> bool:
    return name.lower().startswith(b"access-control-")


async def _refuse(send: Send, refused: Refused, headers: dict[str, str]) -> None:
    """Answer as the service would that was asked: some speak XML, the others JSON."""
    problem = str(refused) if refused.code == _NOT_FROM_HERE else f"{refused}. {_ADVICE}."
    if _speaks_xml(headers):
        text = f"<Code>{refused.code}</Code><Message>{escape(problem)}</Message>"
        kind, body = "text/xml", f"<ErrorResponse><Error>{text}</Error></ErrorResponse>"
    else:
        kind, body = "application/json", json.dumps({"__type": refused.code, "message": problem})
    answer = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 403, "headers": answer})
    await send({"type": "http.response.body", "body": body.encode()})


def _speaks_xml(headers: dict[str, str]) -> bool:
    form = headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
    return form or "/s3/aws4_request" in headers.get("authorization", "")


def _listed(hosts: Iterable[str]) -> str:
    return " or ".join(sorted(hosts))
