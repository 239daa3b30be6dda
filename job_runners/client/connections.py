"""HTTP connections to one host, shared by all threads.

Only one thread at a time uses a connection. After a call, the connection is kept for the next call.
Before a call, the client checks that the server hasn't closed the connection. If the server closes
it during the call, the call is repeated only if that is safe. Redirects are returned like any other
response.
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

from job_runners.client.errors import NoAnswer

Body = bytes | Callable[[], BinaryIO] | None

_MAX_KEPT = 10  # idle connections
# A connection is reused if it was idle for at most this many seconds. Servers and routers keep idle
# connections for longer.
_MAX_IDLE = 50.0
# The same for a call that must not be repeated. No server closes an idle connection this soon.
_MAX_IDLE_IF_ONCE = 1.0
_CONNECT_TIMEOUT = 10.0  # seconds
# If the server has closed the connection, a call raises one of these errors.
_CLOSED_ERRORS = (ConnectionError, ssl.SSLError)
_MAX_BYTES = 32 * 1024 * 1024  # of a response; Lambda's maximum is 6 MB


class Response(NamedTuple):
    """An HTTP response of any status."""

    status: int
    headers: Message  # the case of a name doesn't matter
    data: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.data.decode(errors="replace")

    @property
    def json(self) -> Any:
        """The body, parsed as JSON."""
        import json

        return json.loads(self.data)

    @property
    def is_readable(self) -> bool:
        """Whether the body is empty or JSON, as every body of the API is."""
        try:
            return not self.data or self.json is not None
        except ValueError:
            return False


class _KeptConnection:
    """A connection and the time of its last use."""

    def __init__(self, connection: HTTPConnection) -> None:
        self.connection = connection
        # In seconds since 1970. The monotonic clock isn't used, because it may stop while Lambda
        # freezes the process.
        self.used_at = 0.0

    def is_alive(self, max_idle: float) -> bool:
        """Return whether the connection is open, and was used in the last `max_idle` seconds."""
        idle_seconds = time.time() - self.used_at
        # An idle connection has data to read only if the server has closed it.
        return 0 <= idle_seconds <= max_idle and not _has_data(self.connection)


class Connections:
    """The connections to the host of a URL. A whole response may take `timeout` seconds."""

    def __init__(self, url: str, timeout: float) -> None:
        parts = urlsplit(url)
        self._is_tls = parts.scheme == "https"
        self._host = parts.hostname or ""
        self._port = parts.port
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._timeout = timeout
        self._idle: deque[_KeptConnection] = deque()
        self._process = os.getpid()
        self._context: ssl.SSLContext | None = None
        self._lock = Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:  # so that programs don't have to close a client
        self.close()

    def close(self) -> None:
        """Close idle connections."""
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
    ) -> Response:
        """Make a call and return the response.

        A call that isn't `repeatable` is sent at most once. Raises NoAnswer if there is no complete
        response. Its `may_have_landed` is False if the server has certainly not received the call.
        """
        parts = urlsplit(url)
        target = parts.path or "/"
        if parts.query:
            target += f"?{parts.query}"
        while True:
            kept = self._take_idle(_MAX_IDLE if repeatable else _MAX_IDLE_IF_ONCE)
            if kept is None:
                return self._exchange(self._connect(), method, target, body, headers)
            try:
                return self._exchange(kept, method, target, body, headers)
            except NoAnswer as error:
                # If the server closed the idle connection just before the call, try another one.
                if not repeatable or not isinstance(error.__cause__, _CLOSED_ERRORS):
                    raise

    def _take_idle(self, max_idle: float) -> _KeptConnection | None:
        """Return an idle connection that is alive, or None."""
        if os.getpid() != self._process:  # after a fork, the connections belong to the parent
            self.close()
            self._process = os.getpid()
        while True:
            try:
                kept = self._idle.pop()
            except IndexError:
                return None
            if kept.is_alive(max_idle):
                return kept
            kept.connection.close()

    def _connect(self) -> _KeptConnection:
        try:
            connection = self._new_connection()
            connection.connect()
        except (OSError, HTTPException) as error:
            raise NoAnswer(
                f"Can't reach {self._origin}: {error}.",
                "Check that this machine is online and that the address is right.",
                may_have_landed=False,
            ) from error
        return _KeptConnection(connection)

    def _new_connection(self) -> HTTPConnection:
        """Return a connection that isn't open yet. With TLS, it uses the proxy, if there is one."""
        timeout = min(_CONNECT_TIMEOUT, self._timeout)
        if not self._is_tls:  # calls without TLS stay on this machine, so they need no proxy
            return HTTPConnection(self._host, self._port, timeout=timeout)
        context = self._tls_context()
        proxy = _find_proxy(self._host)
        if proxy is None:
            return HTTPSConnection(self._host, self._port, timeout=timeout, context=context)
        proxy_host, proxy_port, proxy_headers = proxy
        connection = HTTPSConnection(proxy_host, proxy_port, timeout=timeout, context=context)
        connection.set_tunnel(self._host, self._port, proxy_headers)
        return connection

    def _tls_context(self) -> ssl.SSLContext:
        with self._lock:
            if self._context is None:
                bundle = os.environ.get("AWS_CA_BUNDLE") or None
                self._context = ssl.create_default_context(cafile=bundle)
            return self._context

    def _exchange(
        self,
        kept: _KeptConnection,
        method: str,
        target: str,
        body: Body,
        headers: Mapping[str, str],
    ) -> Response:
        connection = kept.connection
        deadline = time.monotonic() + self._timeout
        try:
            connection.sock.settimeout(self._timeout)
            file = body() if callable(body) else None  # a function opens the file to send
            try:
                connection.request(method, target, file or body, dict(headers))  # type: ignore[arg-type]
            finally:
                if file is not None:
                    file.close()
            with connection.getresponse() as response:
                data = _read_body(response, connection, deadline)
        except (OSError, HTTPException) as error:
            connection.close()
            raise NoAnswer(
                f"{self._origin} didn't answer: {_reason(error)}.",
                "It may have processed the call.",
            ) from error
        except BaseException:  # such as Ctrl-C; the next call must not get this call's response
            connection.close()
            raise
        if response.will_close or len(self._idle) >= _MAX_KEPT:
            connection.close()
        else:
            kept.used_at = time.time()
            self._idle.append(kept)
        return Response(response.status, response.headers, data)


def _read_body(response: HTTPResponse, connection: HTTPConnection, deadline: float) -> bytes:
    """Return the whole body. Raises OSError if it is late, too large or incomplete."""
    parts = []
    size = 0
    while part := response.read1(65536):
        parts.append(part)
        size += len(part)
        seconds_left = deadline - time.monotonic()
        if seconds_left <= 0:
            raise TimeoutError("the answer took too long")
        if size > _MAX_BYTES:
            raise OSError(f"the answer has more than {_MAX_BYTES:,} bytes")
        if connection.sock is not None:
            connection.sock.settimeout(seconds_left)
    # If the connection closes within the headers, the response seems to have no body.
    has_whole_headers = parts or response.length == 0 or response.chunked
    if response.length or not has_whole_headers:
        raise OSError("the connection closed before the end of the answer")
    return b"".join(parts)


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


def _has_data(connection: HTTPConnection) -> bool:
    """Return whether there is something to read. The end of a closed connection counts, too."""
    import select

    if connection.sock is None:
        return True
    if hasattr(select, "poll"):  # unlike select, it isn't limited to low file descriptors
        poll = select.poll()
        poll.register(connection.sock, select.POLLIN)
        return bool(poll.poll(0))
    return bool(select.select([connection.sock], [], [], 0)[0])


def _find_proxy(host: str) -> tuple[str, int | None, dict[str, str]] | None:
    """Return the host, port and headers of the environment's proxy for a host, or None."""
    if not (os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy")):
        return None
    from base64 import b64encode
    from urllib.parse import unquote
    from urllib.request import getproxies, proxy_bypass

    if proxy_bypass(host):
        return None
    address = getproxies().get("https", "")
    parts = urlsplit(address if "//" in address else f"http://{address}")
    if not parts.hostname:
        return None
    headers = {}
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        encoded_login = b64encode(login.encode()).decode()
        headers["Proxy-Authorization"] = f"Basic {encoded_login}"
    return parts.hostname, parts.port, headers
