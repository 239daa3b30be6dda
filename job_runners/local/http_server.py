"""A small HTTP server for the local AWS. The guard checks each request before it is handled."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus

from job_runners.local.guard import (
    MAX_UNCHECKED,
    Guard,
    Head,
    RequestRefused,
    body_too_large,
    error_response,
)
from job_runners.local.services import Response

_MAX_BODY = 5 * 2**30  # bytes of a body, as in S3
_MAX_HEAD = 2**16
_OWN_HEADERS = frozenset({"content-length", "transfer-encoding", "connection", "server", "date"})

Respond = Callable[[Head, bytes, str], Awaitable[Response]]
"""Takes an admitted request, and the service for which it is signed (or ""). Returns a response."""


class _BadRequest(Exception):
    """The request can't be read, so its connection must be closed."""

    def __init__(self, status: int) -> None:
        super().__init__(HTTPStatus(status).phrase)
        self.status = status


class HttpServer:
    """Reads requests, lets the guard check them, and sends responses."""

    def __init__(self, guard: Guard, respond: Respond) -> None:
        self._guard, self._respond = guard, respond
        self._servers: list[asyncio.Server] = []

    async def start(self, sockets: Sequence[socket.socket]) -> None:
        """Serve these sockets, which are bound to addresses."""
        for sock in sockets:
            server = await asyncio.start_server(
                self._serve, sock=sock, backlog=512, limit=_MAX_HEAD
            )
            self._servers.append(server)

    def close(self) -> None:
        """Stop serving. Open connections end with the event loop."""
        for server in self._servers:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._serve_request(reader, writer):
                pass
        except _BadRequest as error:
            _write(writer, "GET", (error.status, {}, f"{error}\n".encode()))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        except asyncio.LimitOverrunError:
            _write(writer, "GET", (431, {}, b""))
        finally:
            writer.close()

    async def _serve_request(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Serve one request. Return whether the connection stays open."""
        head = _parse_head(await reader.readuntil(b"\r\n\r\n"))
        headers = head.headers
        length = _body_length(headers)
        try:
            check = self._guard.admit(head)
            is_checked = check is not None and check.is_signature_checked
            if length > (_MAX_BODY if is_checked else MAX_UNCHECKED):
                raise body_too_large()
            if headers.get("expect", "").lower() == "100-continue":
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = await reader.readexactly(length) if length else b""
            if check is not None:
                check.check(body)
        except RequestRefused as error:
            content_type, content = error_response(error, head)
            response_headers = {"Content-Type": content_type, "Connection": "close"}
            _write(writer, head.method, (403, response_headers, content))
            await writer.drain()
            return False  # the rest of the body isn't read
        service = check.service if check is not None else ""
        _write(writer, head.method, await self._respond(head, body, service))
        await writer.drain()
        return headers.get("connection", "").lower() != "close"


def _parse_head(text: bytes) -> Head:
    request_line, *header_lines = text.removesuffix(b"\r\n\r\n").split(b"\r\n")
    try:
        method, target, _version = request_line.decode("latin-1").split(" ")
    except ValueError:
        raise _BadRequest(400) from None
    path, _, query = target.partition("?")
    pairs = (line.partition(b":") for line in header_lines)
    return Head.of(method, path, query, [(name, value.strip()) for name, _, value in pairs])


def _body_length(headers: dict[str, str]) -> int:
    if "transfer-encoding" in headers:  # AWS's clients send Content-Length
        raise _BadRequest(411)
    text = headers.get("content-length", "0")
    if not text.isascii() or not text.isdigit():  # such as two different lengths
        raise _BadRequest(400)
    return int(text)


def _write(writer: asyncio.StreamWriter, method: str, response: Response) -> None:
    status, headers, body = response
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    length = str(len(body))
    for name, value in headers.items():
        if name.lower() == "content-length" and method == "HEAD":
            length = value  # the length that a GET would return
        elif name.lower() not in _OWN_HEADERS:
            lines.append(f"{name}: {value}")
    lines.append(f"Content-Length: {length}")
    head = "\r\n".join(lines).encode("utf-8") + b"\r\n\r\n"
    writer.write(head if method == "HEAD" or status in (204, 304) else head + body)
