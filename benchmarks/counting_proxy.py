"""A proxy that counts the requests that programs make to the local AWS, by operation.

The proxy's address differs from that of the local AWS. A signature covers the address, so the proxy
signs each request again with the same credentials.
"""

import http.client
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

_KEPT_HEADERS = ("content-type", "x-amz-target", "x-amz-invocation-type", "accept")
_SCOPE = re.compile(r"Credential=[^/]+/\d+/(?P<region>[^/]+)/(?P<service>[^/]+)/")
_PATHS = (
    (re.compile(r"/functions/.*/invocations"), "Invoke"),
    (re.compile(r"/durable-executions/.*/checkpoint"), "CheckpointDurableExecution"),
    (re.compile(r"/durable-executions/.*/state"), "GetDurableExecutionState"),
)


class CountingProxy(ThreadingHTTPServer):
    """The proxy. `counted` has the number of requests since it was last cleared, by operation."""

    daemon_threads = True

    def __init__(self, endpoint_url: str, credentials: Credentials) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target_url = endpoint_url
        self.credentials = credentials
        self.counted: Counter[str] = Counter()

    @property
    def endpoint_url(self) -> str:
        """The address that programs use in place of the local AWS's."""
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def counting_proxy(endpoint_url: str, key: str, secret: str) -> Iterator[CountingProxy]:
    """Run the proxy for the duration of the with statement."""
    with CountingProxy(endpoint_url, Credentials(key, secret)) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        try:
            yield proxy
        finally:
            proxy.shutdown()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    server: CountingProxy

    def do_POST(self) -> None:
        """Count the request, sign it again, forward it, and return the response."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        scope = _SCOPE.search(self.headers.get("Authorization", ""))
        if scope is None:
            self.send_error(403, "not signed")
            return
        self.server.counted[self._operation(body)] += 1
        kept = {name: self.headers[name] for name in _KEPT_HEADERS if name in self.headers}
        kept |= {name: value for name, value in self.headers.items() if "durable" in name.lower()}
        target_url = self.server.target_url
        own, target = self.server.endpoint_url.encode(), target_url.encode()
        url, body = target_url + self.path, body.replace(own, target)
        request = AWSRequest(self.command, url, kept, body)
        SigV4Auth(self.server.credentials, scope["service"], scope["region"]).add_auth(request)
        connection = http.client.HTTPConnection(urlsplit(target_url).netloc, timeout=70)
        try:
            connection.request(self.command, self.path, request.data, dict(request.headers))
            answer = connection.getresponse()
            content = answer.read().replace(target, own)
        finally:
            connection.close()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower().startswith(("content-type", "x-amz")) and "crc32" not in name.lower():
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT = do_DELETE = do_POST  # noqa: N815 - http.server requires these names

    def _operation(self, body: bytes) -> str:
        if target := self.headers.get("X-Amz-Target"):
            return str(target).rpartition(".")[2]
        for path, operation in _PATHS:
            if path.search(self.path):
                return operation
        found = re.search(rb"Action=(\w+)", body) or re.search(rb"Action=(\w+)", self.path.encode())
        return found[1].decode() if found else f"{self.command} {self.path}"

    def log_message(self, *_: object) -> None:
        """Log nothing."""
