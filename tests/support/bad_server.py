"""A real HTTP server on the loopback that answers as a test says, well or badly, and counts."""

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Self

import pytest

# What is done with one request: returns whether the connection goes on.
Behaviour = Callable[[socket.socket], bool]


@dataclass(frozen=True)
class Seen:
    """A request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int  # which one, counted from 1

    @property
    def json(self) -> Any:
        """The body's value."""
        return json.loads(self.body)


@dataclass
class BadServer:
    """Does with each request what is next in `script`; when that is empty, what `then` says."""

    script: list[Behaviour] = field(default_factory=list)
    then: Behaviour = field(default_factory=lambda: answer(404, {"detail": "nothing here"}))
    seen: list[Seen] = field(default_factory=list)
    connections: int = 0

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        for each in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join(60)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def close_idle(self) -> None:
        """Close every connection, as a server does with those that were idle for long."""
        with self._lock:
            opened, self._open = self._open, []
        for each in opened:
            each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self.connections += 1
                self._open.append(connection)
                number = self.connections
            thread = threading.Thread(target=self._serve, args=(connection, number), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        try:
            with connection, connection.makefile("rb") as file:
                while True:
                    start = file.readline().decode("latin-1").split()
                    if not start:
                        return
                    headers = {}
                    while (line := file.readline().decode("latin-1").strip()) != "":
                        name, _, value = line.partition(":")
                        headers[name.lower()] = value.strip()
                    body = file.read(int(headers.get("content-length", 0)))
                    with self._lock:
                        self.seen.append(Seen(start[0], start[1], headers, body, number))
                        behaviour = self.script.pop(0) if self.script else self.then
                    if not behaviour(connection):
                        return
        except (OSError, ValueError):
            pass  # the client went, or the test is over


def answer(status: int, body: Any = None, *, close: bool = False, **headers: str) -> Behaviour:
    """Answer properly. `Retry_After` is the header Retry-After; bytes are sent as they are."""
    data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"HTTP/1.1 {status} Text", f"Content-Length: {len(data)}"]
    lines += [f"{name}: {value}" for name, value in named.items()]
    lines += ["Connection: close"] if close else []
    text = "\r\n".join([*lines, "", ""]).encode() + data

    def behave(connection: socket.socket) -> bool:
        connection.sendall(text)
        return not close

    return behave


def raw(text: bytes) -> Behaviour:
    """Send these bytes, whatever they are, and close."""

    def behave(connection: socket.socket) -> bool:
        connection.sendall(text)
        return False

    return behave


def hang_up(connection: socket.socket) -> bool:
    """Close without an answer."""
    return False


def never(connection: socket.socket) -> bool:
    """Give no answer, and stay."""
    connection.recv(1)
    return False


def drip(connection: socket.socket) -> bool:
    """Answer a byte at a time, for ever."""
    pace = threading.Event()
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        connection.sendall(b" ")
        pace.wait(0.05)


@pytest.fixture
def server() -> Iterator[BadServer]:
    """Yield a server without a script."""
    with BadServer() as running:
        yield running
