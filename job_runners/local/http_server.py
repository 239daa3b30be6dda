"""The port of the local AWS: the API for signed and open requests, and AWS for signed ones."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus

from job_runners.local.guard import MAX_UNCHECKED, Guard, Head, refusal, too_large
from job_runners.local.services import Answer
from job_runners.local.signatures import Refused

_LARGEST = 5 * 2**30  # bytes of a body, as in S3
_LONGEST_HEAD = 2**16
_OURS = frozenset({"content-length", "transfer-encoding", "connection", "server", "date"})

Respond = Callable[[Head, dict[str, str], bytes, str], Awaitable[Answer]]
"""Takes an admitted request, and the service for which it is signed. Returns the answer.

The service of a request that isn't signed is "".
"""


class _BadRequest(Exception):
    """The request can't be read, so its connection must be closed."""

    def __init__(self, status: int) -> None:
        super().__init__(HTTPStatus(status).phrase)
        self.status = status


class HttpServer:
    """Reads requests, lets the guard check them, and sends the answers."""

    def __init__(self, guard: Guard, respond: Respond) -> None:
        self._guard, self._respond = guard, respond
        self._servers: list[asyncio.Server] = []

    async def start(self, sockets: Sequence[socket.socket]) -> None:
        """Serve these sockets, which are bound."""
        for each in sockets:
            server = await asyncio.start_server(
                self._serve, sock=each, backlog=512, limit=_LONGEST_HEAD
            )
            self._servers.append(server)

    def close(self) -> None:
        """Stop serving. Open connections end with the event loop."""
        for each in self._servers:
            each.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._serve_one(reader, writer):
                pass
        except _BadRequest as bad:
            _write(writer, "GET", (bad.status, {}, f"{bad}\n".encode()))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        except asyncio.LimitOverrunError:
            _write(writer, "GET", (431, {}, b""))
        finally:
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request. Return whether the connection stays open."""
        head = _head(await reader.readuntil(b"\r\n\r\n"))
        headers = head.headers
        length = _length(headers)
        try:
            check = self._guard.admit(head, headers)
            is_bounded = check is not None and check.is_signature_checked
            if length > (_LARGEST if is_bounded else MAX_UNCHECKED):
                raise too_large()
            if headers.get("expect", "").lower() == "100-continue":
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = await reader.readexactly(length) if length else b""
            if check is not None:
                check.check(body)
        except Refused as refused:
            kind, content = refusal(refused, headers)
            _write(
                writer, head.method, (403, {"Content-Type": kind, "Connection": "close"}, content)
            )
            await writer.drain()
            return False  # the rest of the body isn't read
        service = check.service if check is not None else ""
        _write(writer, head.method, await self._respond(head, headers, body, service))
        await writer.drain()
        return headers.get("connection", "").lower() != "close"


def _head(text: bytes) -> Head:
    first, *lines = text[:-4].split(b"\r\n")
    try:
        method, target, _ = first.decode("latin-1").split(" ")
    except ValueError:
        raise _BadRequest(400) from None
    path, _, query = target.partition("?")
    pairs = (line.partition(b":") for line in lines)
    return Head(method, path, query, [(name, value.strip()) for name, _, value in pairs])


def _length(headers: dict[str, str]) -> int:
    if "transfer-encoding" in headers:  # AWS's clients give a length
        raise _BadRequest(411)
    text = headers.get("content-length", "0")
    if not text.isascii() or not text.isdigit():  # such as two different lengths
        raise _BadRequest(400)
    return int(text)


def _write(writer: asyncio.StreamWriter, method: str, answer: Answer) -> None:
    status, headers, body = answer
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    length = str(len(body))
    for name, value in headers.items():
        if name.lower() == "content-length" and method == "HEAD":
            length = value  # that of the object
        elif name.lower() not in _OURS:
            lines.append(f"{name}: {value}")
    lines.append(f"Content-Length: {length}")
    head = "\r\n".join(lines).encode("utf-8") + b"\r\n\r\n"
    writer.write(head if method == "HEAD" or status in (204, 304) else head + body)
