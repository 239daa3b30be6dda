"""HTTP connections to one host, shared by all threads, and what comes back on them.

No redirect is followed: it is an answer like any other. A connection is used by one thread at a
time, and kept for the next call. One that the server has closed meanwhile is noticed before it is
used; where that comes too late, the call is made again only if it may be repeated.
"""

import os
import ssl
import time
from collections import deque
from collections.abc import Callable, Mapping
from email.message import Message
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from threading import Lock
from typing import Any, BinaryIO, NamedTuple, Self
from urllib.parse import urlsplit

from job_runners.errors import NoAnswer

Body = bytes | Callable[[], BinaryIO] | None

_KEPT = 10  # idle connections
_IDLE = 50.0  # seconds until one is not used again: less than any server or router keeps it
# The same for a call that must not be repeated: too short for the server to have closed it.
_FRESH = 1.0
_CONNECT = 10.0  # seconds
# What it looks like when the server has closed a connection.
_CLOSED = (ConnectionError, ssl.SSLError)
_LARGEST = 32 * 1024 * 1024  # bytes of an answer; Lambda's has at most 6 MB


class Answer(NamedTuple):
    """What came back, whatever the status."""

    status: int
    headers: Message  # whatever their case
    data: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.data.decode(errors="replace")

    @property
    def json(self) -> Any:
        """The body's value."""
        import json

        return json.loads(self.data)

    @property
    def is_readable(self) -> bool:
        """Whether there is no body, or one of JSON, as all of the API's are."""
        try:
            return not self.data or self.json is not None
        except ValueError:
            return False


class _Held:
    """A connection, and when it was last used."""

    def __init__(self, connection: HTTPConnection) -> None:
        self.connection = connection
        # Seconds since 1970: a sleeping Lambda's monotonic clock may stand still.
        self.used_at = 0.0

    def is_alive(self, longest: float) -> bool:
        """Return whether it was used lately, and nothing has come since: that would be its end."""
        idle = time.time() - self.used_at
        return 0 <= idle <= longest and not _is_readable(self.connection)


class Connections:
    """The connections to the host of a URL. `timeout` is in seconds, for a whole answer."""

    def __init__(self, url: str, timeout: float, *, use_proxy: bool = True) -> None:
        parts = urlsplit(url)
        self._is_tls = parts.scheme == "https"
        self._host = parts.hostname or ""
        self._port = parts.port
        self._name = f"{parts.scheme}://{parts.netloc}"
        self._timeout = timeout
        self._use_proxy = use_proxy
        self._idle: deque[_Held] = deque()
        self._process = os.getpid()
        self._context: ssl.SSLContext | None = None
        self._lock = Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:  # whoever drops a client need not close it
        self.close()

    def close(self) -> None:
        """Close the connections that are idle."""
        while self._idle:
            self._idle.pop().connection.close()

    def send(
        self,
        method: str,
        url: str,
        body: Body,
        headers: Mapping[str, str],
        *,
        repeatable: bool = True,
    ) -> Answer:
        """Make one call; return its answer.

        Raises NoAnswer, which says whether the call may have landed. A call that is not
        `repeatable` goes out once at most.
        """
        parts = urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        while True:
            held = self._take(_IDLE if repeatable else _FRESH)
            if held is None:
                return self._exchange(self._connect(), method, target, body, headers)
            try:
                return self._exchange(held, method, target, body, headers)
            except NoAnswer as error:
                # The server has closed what was idle, at the same moment: that is no answer yet.
                if not repeatable or not isinstance(error.__cause__, _CLOSED):
                    raise

    def _take(self, longest: float) -> _Held | None:
        """Return a connection that is idle and alive, if there is one."""
        if os.getpid() != self._process:  # a fork: these are the parent's, which keeps its own end
            self.close()
            self._process = os.getpid()
        while True:
            try:
                held = self._idle.pop()
            except IndexError:
                return None
            if held.is_alive(longest):
                return held
            held.connection.close()

    def _connect(self) -> _Held:
        try:
            connection = self._new()
            connection.connect()
        except (OSError, HTTPException) as error:
            raise NoAnswer(
                f"{self._name} can't be reached: {error}.",
                "Is this machine online, and is the address right?",
                may_have_landed=False,
            ) from error
        return _Held(connection)

    def _new(self) -> HTTPConnection:
        timeout = min(_CONNECT, self._timeout)
        if not self._is_tls:  # never through a proxy: it does not leave this machine
            return HTTPConnection(self._host, self._port, timeout=timeout)
        proxy = _proxy(self._host) if self._use_proxy else None
        if proxy is None:
            return HTTPSConnection(self._host, self._port, timeout=timeout, context=self._tls())
        host, port, sent = proxy
        connection = HTTPSConnection(host, port, timeout=timeout, context=self._tls())
        connection.set_tunnel(self._host, self._port, sent)
        return connection

    def _tls(self) -> ssl.SSLContext:
        with self._lock:
            if self._context is None:
                bundle = os.environ.get("AWS_CA_BUNDLE") or None
                self._context = ssl.create_default_context(cafile=bundle)
            return self._context

    def _exchange(
        self, held: _Held, method: str, target: str, body: Body, headers: Mapping[str, str]
    ) -> Answer:
        connection, deadline = held.connection, time.monotonic() + self._timeout
        try:
            connection.sock.settimeout(self._timeout)
            file = body() if callable(body) else None
            try:
                connection.request(method, target, file or body, dict(headers))  # type: ignore[arg-type]
            finally:
                if file is not None:
                    file.close()
            with connection.getresponse() as response:
                data = _read(response, connection, deadline)
        except (OSError, HTTPException) as error:
            connection.close()
            raise NoAnswer(
                f"{self._name} did not answer: {_reason(error)}.",
                "It may have done what it was asked.",
            ) from error
        except BaseException:  # Ctrl-C in between: an answer must not be taken for the next one's
            connection.close()
            raise
        if response.will_close or len(self._idle) >= _KEPT:
            connection.close()
        else:
            held.used_at = time.time()
            self._idle.append(held)
        return Answer(response.status, response.headers, data)


def _read(response: HTTPResponse, connection: HTTPConnection, deadline: float) -> bytes:
    """Return the whole body; raises OSError if it does not come in time, or not to its end."""
    parts, size = [], 0
    while part := response.read1(65536):
        parts.append(part)
        size += len(part)
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("its answer took too long")
        if size > _LARGEST:
            raise OSError(f"its answer has more than {_LARGEST:,} bytes")
        if connection.sock is not None:
            connection.sock.settimeout(left)
    # Without a length, headers that broke off look like an answer without a body.
    is_whole = parts or response.length == 0 or response.chunked
    if response.length or not is_whole:
        raise OSError("it broke off within its answer")
    return b"".join(parts)


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


def _is_readable(connection: HTTPConnection) -> bool:
    import select

    if connection.sock is None:
        return True
    if hasattr(select, "poll"):  # not limited to low file descriptors, as select is
        poll = select.poll()
        poll.register(connection.sock, select.POLLIN)
        return bool(poll.poll(0))
    return bool(select.select([connection.sock], [], [], 0)[0])


def _proxy(host: str) -> tuple[str, int | None, dict[str, str]] | None:
    """Return the proxy for a host, if the environment names one: its host, port and headers."""
    if not (os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy")):
        return None
    from base64 import b64encode
    from urllib.parse import unquote
    from urllib.request import getproxies, proxy_bypass

    if proxy_bypass(host):
        return None
    named = getproxies().get("https", "")
    parts = urlsplit(named if "//" in named else f"http://{named}")
    if not parts.hostname:
        return None
    headers = {}
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Proxy-Authorization"] = f"Basic {b64encode(login.encode()).decode()}"
    return parts.hostname, parts.port, headers
