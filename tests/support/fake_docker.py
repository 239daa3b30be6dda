"""A Docker that makes no container, but remembers what it was asked to make: for `sam local`."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

_VERSION = "1.44"
_IMAGE = {
    "Id": "sha256:" + "0" * 64,
    "RepoTags": [],
    "RepoDigests": [],
    "Os": "linux",
    "Config": {},
}


@dataclass
class FakeDocker:
    """Where it is, and what it was asked for."""

    host: str = ""  # as DOCKER_HOST
    created: list[dict[str, Any]] = field(default_factory=list)  # containers
    images: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)

    def answer(self, method: str, url: str, body: bytes) -> tuple[int, Any]:
        """Answer as Docker's API would, as far as a container that is made and does not start."""
        path = re.sub(r"^/v[\d.]+", "", urlsplit(url).path)
        self.calls.append(f"{method} {path}")
        if path == "/_ping":
            return 200, "OK"
        if path == "/version":
            return 200, {"ApiVersion": _VERSION, "MinAPIVersion": "1.24", "Version": "27.0.0"}
        if path.startswith("/images/"):
            self.images.append(path.removeprefix("/images/").removesuffix("/json"))
            return 200, _IMAGE
        if path.startswith("/distribution/"):
            return 200, {"Descriptor": {"digest": _IMAGE["Id"]}, "Platforms": []}
        if path == "/build":
            self.images += parse_qs(urlsplit(url).query)["t"]
            return 200, {"stream": "Successfully built 000000000000\n"}
        if path == "/containers/create":
            self.created.append(json.loads(body))
            return 201, {"Id": "c" * 64, "Warnings": []}
        if path == "/containers/json":
            return 200, []
        return 500, {"message": "nothing starts here"}


@contextmanager
def fake_docker() -> Iterator[FakeDocker]:
    """Serve for as long as the with statement lasts."""
    docker = FakeDocker()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self._body()
            status, said = docker.answer(self.command, self.path, body)
            data = said.encode() if isinstance(said, str) else json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Api-Version", _VERSION)
            kind = "text/plain" if isinstance(said, str) else "application/json"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        do_HEAD = do_POST = do_DELETE = do_GET  # noqa: N815

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """sam ends its connections as it likes."""

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        docker.host = f"tcp://127.0.0.1:{server.server_port}"
        try:
            yield docker
        finally:
            server.shutdown()
            thread.join()
