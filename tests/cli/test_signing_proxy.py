"""The proxy that signs for a browser: whom it serves, and whom it refuses."""

import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest

from job_runners.cli.signing_proxy import signing_proxy
from job_runners.client.credentials import Credentials
from job_runners.client.signing import Signer
from proxy_requests import ask

SIGNER = Signer(lambda: Credentials("key", "secret"), "us-east-1")


@dataclass
class Api:
    """An API that answers every call alike, and what it was asked."""

    calls: list[tuple[str, str, Message, bytes]] = field(default_factory=list)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def url(api: Api) -> Iterator[str]:
    """Yield the address of a proxy before the API."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            api.calls.append((self.command, self.path, self.headers, body))
            self.send_response(api.status)
            for name, value in {"Content-Length": "2", **api.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(b"{}")

        do_POST = do_DELETE = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        with signing_proxy(f"http://127.0.0.1:{server.server_port}/stage", SIGNER) as url:
            yield url
        server.shutdown()
        thread.join()


def origin(url: str) -> str:
    """Return what a browser calls the place that a page is from."""
    return f"http://{urlsplit(url).netloc}"


def test_a_call_of_the_page_is_signed_and_passed_on(url: str, api: Api) -> None:
    own = {"Origin": origin(url), "Sec_Fetch_Site": "same-origin"}
    status, _, body = ask(url, "POST", "/jobs?limit=1", b'{"a": 1}', **own)
    assert (status, body) == (200, b"{}")
    ((method, path, headers, sent),) = api.calls
    assert (method, path, sent) == ("POST", "/stage/jobs?limit=1", b'{"a": 1}')
    assert headers["Authorization"].startswith("AWS4-HMAC-SHA256 Credential=key/")
    assert headers["Origin"] is None


def test_an_answer_comes_back_as_it_is(url: str, api: Api) -> None:
    api.status = 503
    api.headers = {"Retry-After": "7", "Content-Security-Policy": "default-src 'none'"}
    status, headers, _ = ask(url)
    assert status == 503
    assert headers["Retry-After"] == "7"
    assert headers["Content-Security-Policy"] == "default-src 'none'"
    assert len(headers.get_all("Date", [])) == 1


def test_what_a_page_sends_as_its_token_is_not_passed_on(url: str, api: Api) -> None:
    ask(url, Authorization="Bearer theirs", Cookie="a=b")
    ((_, _, headers, _),) = api.calls
    assert "theirs" not in headers["Authorization"]
    assert headers["Cookie"] is None


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},  # a name made to lead to 127.0.0.1
        {"Host": "127.0.0.1:1"},
        {"Host": "localhost.evil.example"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},  # another program of this machine
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_another_sites_page_is_refused(
    url: str, api: Api, method: str, headers: dict[str, Any]
) -> None:
    status, answered, body = ask(url, method, "/jobs/1", **headers)
    assert status == 403
    assert answered["Content-Type"] == "application/problem+json"
    assert json.loads(body)["detail"]
    assert api.calls == []


def test_a_link_on_another_site_may_lead_to_the_page(url: str, api: Api) -> None:
    assert ask(url, path="/", Sec_Fetch_Site="cross-site")[0] == 200
    assert ask(url, path="/?x", Host="evil.example")[0] == 403
    assert len(api.calls) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"Transfer_Encoding": "chunked"},
        {"Content_Length": "7000000"},
        {"Content_Length": "9" * 5000},
        {"Content_Length": "-1"},
    ],
)
def test_a_body_that_lambda_would_not_take_is_refused(
    url: str, api: Api, headers: dict[str, Any]
) -> None:
    assert ask(url, "POST", "/jobs", **headers)[0] == 403
    assert api.calls == []


def test_an_address_that_is_not_ascii_is_refused(url: str, api: Api) -> None:
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=60) as connection:
        request = f"GET {parts.path}jobs/é HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n"
        connection.sendall(request.encode())
        assert connection.recv(12) == b"HTTP/1.1 403"
    assert ask(url, path="/jobs/%C3%A9")[0] == 200
    assert len(api.calls) == 1


def test_an_api_that_is_gone_is_said() -> None:
    with signing_proxy("http://127.0.0.1:9", SIGNER) as url:
        status, _, body = ask(url)
    assert status == 502
    assert "http://127.0.0.1:9" in json.loads(body)["detail"]


@pytest.mark.parametrize("path", ["/", "/jobs", "/x/jobs", "/assets/app.js", ""])
def test_without_the_name_that_nobody_can_guess_there_is_nothing(
    url: str, api: Api, path: str
) -> None:
    """Other people of this machine, and other programs, reach its ports too."""
    status, _, _ = ask(origin(url), path=path)
    assert status == 403
    wrong = url[:-2] + ("A" if url[-2] != "A" else "B")
    assert ask(wrong, path="/jobs")[0] == 403
    assert api.calls == []


def test_a_space_in_a_query_is_sent_as_it_is_signed(url: str, api: Api) -> None:
    ask(url, path="/jobs?queue_name=a+b%2Bc")
    ((_, path, _, _),) = api.calls
    assert path == "/stage/jobs?queue_name=a%20b%2Bc"
