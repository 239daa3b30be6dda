"""The API on the loopback, served by this process, with a worker that works at once."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest

import wsgi_api
from fake_lambda import FakeLambda


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


@dataclass
class ApiServer:
    """Where it is, and what it was asked."""

    url: str
    asked: list[str] = field(default_factory=list)  # method and path


@pytest.fixture
def api_server(worker: FakeLambda) -> Iterator[ApiServer]:
    """Yield the real API over HTTP. Before a request is served, all work that was dispatched is
    done."""
    lock, asked = threading.Lock(), ApiServer("")

    class Handler(WSGIRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    def application(environ, start_response):  # type: ignore[no-untyped-def]
        with lock:
            asked.asked.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}")
            worker.deliver()
            return wsgi_api.application(environ, start_response)

    with make_server("127.0.0.1", 0, application, _Server, Handler) as server:
        asked.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield asked
        server.shutdown()
        thread.join()
