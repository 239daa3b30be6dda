"""A proxy that signs a browser's calls to the API with the user's AWS credentials.

Every caller of the proxy acts with these credentials, so it must refuse all callers but the user.
It listens only on loopback, and only below a secret path, because other users of this machine can
reach the port too. A website could also make the user's browser send calls. So the proxy refuses
calls from any page but the dashboard, and calls to other host names, because a website can point a
name at this machine (DNS rebinding).
"""

import contextlib
import hmac
import json
import secrets
import threading
from collections.abc import Iterator
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from job_runners.client.connections import Connections
from job_runners.client.errors import NoAnswer
from job_runners.client.signing import Access

_MAX_BODY_BYTES = 6 * 1024 * 1024  # Lambda's maximum
_TIMEOUT_SECONDS = 35  # longer than API Gateway's own timeout of 30
_FORWARDED_REQUEST_HEADERS = (
    "Accept",
    "Accept-Encoding",
    "Content-Type",
    "Idempotency-Key",
    "If-None-Match",
)
_DROPPED_RESPONSE_HEADERS = frozenset(
    {"connection", "content-length", "date", "keep-alive", "server", "transfer-encoding"}
)


@contextlib.contextmanager
def signing_proxy(api_url: str, access: Access, port: int = 0) -> Iterator[str]:
    """Run the proxy, and yield its URL. Raises OSError if another program uses the port."""
    server = _Server(("127.0.0.1", port), api_url, access)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{server.root}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        server.connections.close()


class _Server(ThreadingHTTPServer):
    # Don't wait for the threads of connections at the end, because a browser keeps these open.
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], api_url: str, access: Access) -> None:
        super().__init__(address, _Handler)
        self.api_url = api_url
        self.access = access
        self.connections = Connections(api_url, _TIMEOUT_SECONDS)
        self.root = f"/{secrets.token_urlsafe(24)}/"  # the secret path

    @property
    def hosts(self) -> frozenset[str]:
        """The Host headers that the proxy accepts."""
        return frozenset({f"127.0.0.1:{self.server_port}", f"localhost:{self.server_port}"})


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    timeout = 120  # seconds until an idle connection is closed

    def do_GET(self) -> None:
        self._forward()

    do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

    def _forward(self) -> None:
        refusal = self._refusal()
        if refusal:
            self.close_connection = True  # because the call's body isn't read
            headers, body = _problem(403, "Refused", refusal)
            self._respond(403, headers, body)
            return
        status, headers, body = self._call_api()
        self._respond(status, headers, body)

    def _call_api(self) -> tuple[int, Message, bytes]:
        """Send the call to the API and return the status, headers and body of the response."""
        length = int(self.headers.get("Content-Length") or 0)
        data = self.rfile.read(length) if length else None
        url = self.server.api_url + self._path
        headers = {
            name: self.headers[name] for name in _FORWARDED_REQUEST_HEADERS if self.headers[name]
        }
        signed_headers = self.server.access.headers(self.command, url, data, headers)
        try:
            response = self.server.connections.send(
                self.command, url, data, signed_headers, repeatable=self.command == "GET"
            )
        except NoAnswer as error:
            return 502, *_problem(502, "No answer", error.problem)
        if 300 <= response.status < 400 and response.status != 304:
            return 502, *_problem(502, "No answer", _redirect_detail(self.server.api_url))
        return response.status, response.headers, response.data

    def _refusal(self) -> str | None:
        """Return the reason for refusing this call, or None if it is allowed."""
        host = self.headers.get("Host", "")
        if host not in self.server.hosts:
            return f"This proxy accepts only calls to {' or '.join(sorted(self.server.hosts))}."
        # A comparison in constant time doesn't reveal how much of a guessed path is right.
        secret_path = self.path[: len(self.server.root)].encode(errors="replace")
        if not hmac.compare_digest(secret_path, self.server.root.encode()):
            return "The address is incomplete. Use the whole address that the command printed."
        if not self.path.isascii():
            return (
                "The address has characters that aren't ASCII. Encode them, for example as %C3%A9."
            )
        length = self.headers.get("Content-Length", "0").lstrip("0") or "0"
        if "Transfer-Encoding" in self.headers or not (length.isascii() and length.isdecimal()):
            return "A body needs a Content-Length header."
        # Compare the lengths first, because int() is slow for very long numbers.
        if len(length) > len(str(_MAX_BODY_BYTES)) or int(length) > _MAX_BODY_BYTES:
            return f"The body is too large. The limit is {_MAX_BODY_BYTES:,} bytes."
        if self.command == "GET" and self._is_dashboard_file:
            return None
        # A browser says in these headers which site sends the call. Other programs send neither.
        origin = self.headers.get("Origin", f"http://{host}")
        site = self.headers.get("Sec-Fetch-Site", "same-origin")
        if origin != f"http://{host}" or site not in ("same-origin", "none"):
            return "A page of another site can't use this proxy."
        return None

    @property
    def _is_dashboard_file(self) -> bool:
        """Whether this is a file of the dashboard.

        Any page may link to such a file, because it contains no data.
        """
        path = self._path.partition("?")[0]
        return path == "/" or path.startswith("/assets/")

    @property
    def _path(self) -> str:
        """The path to call on the API.

        In a query, a browser encodes a space as +. API Gateway checks the signature as if it were
        encoded as %20, so encode it in this way.
        """
        path_and_query = self.path[len(self.server.root) - 1 :]  # begins with the root's last slash
        path, question_mark, query = path_and_query.partition("?")
        return path + question_mark + query.replace("+", "%20")

    def _respond(self, status: int, headers: Message, body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in _DROPPED_RESPONSE_HEADERS:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        try:
            self.end_headers()
            self.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):  # the browser closed the connection
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Log nothing, because the API logs all calls itself."""


def _redirect_detail(api_url: str) -> str:
    return f"The API at {api_url} answered with a redirect. The proxy doesn't follow redirects."


def _problem(status: int, title: str, detail: str) -> tuple[Message, bytes]:
    headers = Message()
    headers["Content-Type"] = "application/problem+json"
    headers["X-Content-Type-Options"] = "nosniff"
    return headers, json.dumps({"title": title, "status": status, "detail": detail}).encode()
