"""Run the guard in front of ministack, as an ASGI application around ministack's.

It is in the same process. So ministack, which accepts unsigned calls from any web page, has no open
port.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from job_runners.local.guard import (
    MAX_UNCHECKED,
    Guard,
    Head,
    RequestRefused,
    body_too_large,
    error_response,
)

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

HEALTH = "/_ministack/health"


class GuardedApp:
    """Passes admitted calls on to `app`. The other arguments are those of the guard."""

    def __init__(
        self,
        app: App,
        port: int,
        secret_of: Callable[[str], str | None],
        authorization_of: Callable[[str, str], str | None],
        addresses: Iterable[str] = (),
    ) -> None:
        def authorization(method: str, path: str) -> str | None:
            if path == HEALTH and method in ("GET", "HEAD"):
                return "NONE"
            return authorization_of(method, path)

        self._app = app
        self._guard = Guard(port, secret_of, authorization, addresses)

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
        path, query = (scope[name].decode("latin-1") for name in ("raw_path", "query_string"))
        head = Head.of(scope["method"], path, query, list(scope["headers"]))
        try:
            check = self._guard.admit(head)
            if check is not None:
                limit = None if check.is_signature_checked else MAX_UNCHECKED
                body = await _read(receive, limit)
                if body is None:
                    return  # the caller is gone, and the body is incomplete
                check.check(body)
                receive = _replay(body, receive)
        except RequestRefused as refused:
            kind, content = error_response(refused, head)
            answer = [
                (b"content-type", kind.encode()),
                (b"content-length", str(len(content)).encode()),
            ]
            await send({"type": "http.response.start", "status": 403, "headers": answer})
            await send({"type": "http.response.body", "body": content})
            return
        await self._app(scope, receive, _without_cors(send))


async def _read(receive: Receive, limit: int | None) -> bytes | None:
    """Return the whole body, which the signature covers, or None if the caller disconnects first.

    Raises RequestRefused for a body of more than `limit` bytes.
    """
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if limit is not None and size > limit:
            raise body_too_large()
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
