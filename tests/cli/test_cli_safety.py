"""What the jobs command keeps to itself, and that it leaves the terminal alone."""

import json
import threading
from collections.abc import Iterator
from email.message import Message
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from job_runners.cli.signing_proxy import signing_proxy
from job_runners.client.addresses import is_private
from job_runners.client.credentials import Credentials
from job_runners.client.signing import Bearer, Signer
from jobs_command import ID, FakeApi, job, jobs
from proxy_requests import ask

REDIRECTS = [301, 302, 303, 307, 308]


@pytest.fixture
def elsewhere() -> Iterator[tuple[str, list[Message]]]:
    """Another server, and the headers that it was sent."""
    seen: list[Message] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers)
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", seen
        server.shutdown()
        thread.join()


# --- credentials ----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", REDIRECTS)
@pytest.mark.parametrize("token", ["", "t0ken"])
def test_a_command_follows_no_redirect(
    api: FakeApi, elsewhere: tuple[str, list[Message]], status: int, token: str
) -> None:
    url, seen = elsewhere
    listed = "/jobs?limit=100" if token else "/jobs?organization_id=default&limit=100"
    api.on("GET", listed, status, Location=f"{url}/jobs")
    api.on("POST", "/jobs", status, Location=f"{url}/jobs")
    for words in (["list"], ["dispatch", "import_contacts"]):
        done = jobs(*words, JOBS_TOKEN=token)
        assert done.exit_code == 5, done.output
        assert f"redirect to {url}/jobs" in done.stderr
        assert "--api-url" in done.stderr
    assert seen == []


@pytest.mark.parametrize("status", REDIRECTS)
@pytest.mark.parametrize(
    "access", [Bearer("t0ken"), Signer(lambda: Credentials("k", "s"), "us-east-1")]
)
def test_the_dashboards_proxy_follows_no_redirect_and_passes_none_on(
    api: FakeApi, elsewhere: tuple[str, list[Message]], status: int, access: Bearer | Signer
) -> None:
    url, seen = elsewhere
    api.on("GET", "/jobs", status, Location=f"{url}/jobs")
    with signing_proxy(api.url, access) as proxy:
        answered, headers, body = ask(proxy)
    assert (answered, headers["Location"]) == (502, None)
    assert "redirect" in json.loads(body)["detail"]
    assert seen == []


@pytest.mark.parametrize(
    ("url", "private"),
    [
        ("https://api.example", True),
        ("http://127.0.0.1:4566/x", True),
        ("http://[::1]:4566", True),
        ("http://localhost:3000", True),
        ("http://api.example", False),
        ("http://10.0.0.7", False),
        ("http://127.0.0.1.evil.example", False),
        ("http://localhost.evil.example", False),
        ("http://localhost@evil.example", False),
        ("http://0.0.0.0", False),
    ],
)
def test_what_is_sent_in_the_clear_stays_on_this_machine(url: str, private: bool) -> None:
    assert is_private(url) is private


def test_a_token_is_not_sent_in_the_clear_over_a_network(
    api: FakeApi, elsewhere: tuple[str, list[Message]]
) -> None:
    url, seen = elsewhere
    port = url.rsplit(":", 1)[1]
    here = f"http://0.0.0.0:{port}"  # which leads here, and is not loopback
    for words in (["list"], ["dashboard"]):
        done = jobs(*words, JOBS_API_URL=here, JOBS_TOKEN="t0ken")
        assert done.exit_code == 5, done.output
        assert "https" in done.stderr
        assert "t0ken" not in done.output
    assert seen == []


# --- the terminal ---------------------------------------------------------------------------------

STEERING = "\x1b]0;owned\x07 \x9b31m \u202egnp.exe \u2066 \x85"


def raw(text: str) -> set[str]:
    """Return the characters of STEERING that a text has as they are."""
    return {each for each in text if not each.isprintable() and each not in "\r\n\t"}


def test_no_text_of_a_job_steers_the_terminal(api: FakeApi) -> None:
    hostile = job(
        "failed",
        queue_name=STEERING,
        result_message=STEERING,
        error={"kind": STEERING, "message": STEERING, "traceback": STEERING},
    ) | {
        "payload": {STEERING: [STEERING]},
        "result": {"text": STEERING},
        "notes": [STEERING],
    }
    api.on("GET", f"/jobs/{ID}", 200, hostile)
    api.on(
        "GET", "/jobs?organization_id=default&limit=100", 200, {"jobs": [hostile], "cursor": None}
    )
    api.on(
        "GET",
        "/paused",
        200,
        {"paused": [{"kind": "queue", "name": STEERING, "paused_at": hostile["created_at"]}]},
    )
    for words in (
        ["show", ID],
        ["show", ID, "--traceback"],
        ["show", ID, "--json"],
        ["list"],
        ["list", "--json"],
        ["pause"],
        ["watch", ID],
        ["watch", ID, "--json"],
    ):
        done = jobs(*words)
        assert raw(done.output) == set(), words
        assert "owned" in done.output, words
    assert json.loads(jobs("show", ID, "--json").stdout) == hostile


def test_nor_does_what_a_hostile_api_says_of_anything_else(api: FakeApi) -> None:
    named = {"name": STEERING, "kind": "line", "key": STEERING}
    child = {"id": STEERING, "key": STEERING, "job": job(STEERING, id=STEERING, job_type=STEERING)}
    api.on("GET", f"/jobs/{ID}", 200, job("waiting", waits_for=named))
    place = {"waits_for": named, "ahead": STEERING, "more_ahead": True, "of_organization": True}
    api.on("GET", f"/jobs/{ID}/place", 200, place)
    api.on("GET", f"/jobs/{ID}/children?limit=100", 200, {"children": [child], "cursor": None})
    limits = {
        "slots": STEERING,
        "rate": None,
        "per": STEERING,
        "order": STEERING,
        "words": STEERING,
    }
    limited = {"name": STEERING, "limits": {**limits, "max_waiting": 1}, "declared_limits": None}
    limited |= {"changed_at": None, "changed_by": STEERING}
    api.on("GET", "/queues/mails", 200, limited)
    api.on("PUT", "/queues/mails", 200, limited)
    types = [{"name": STEERING, "queue_name": STEERING, "queues": [STEERING]}]
    api.on("GET", "/job-types", 200, {"jobs": types, "tasks": []})
    run = "/schedules/nightly/run?organization_id=default"
    api.on("POST", run, 202, job(STEERING, id=STEERING, job_type=STEERING))
    for words in (
        ["show", ID],
        ["queues", "limit", "mails", "--slots", "1"],
        ["schedules", "run", "nightly"],
    ):
        done = jobs(*words)
        assert raw(done.output) == set(), words
        assert done.output.count("owned") >= 2, (words, done.output)


def test_no_text_of_a_job_forges_a_line(api: FakeApi) -> None:
    lines = "no luck\nstatus        succeeded, 100%\r\nresult\u2028x"
    error = {"kind": "ValueError", "message": lines, "traceback": lines}
    at = {"attempt": 1, "at": "2026-11-24T12:01:00.000Z"}
    hostile = job("failed", result_message=lines, queue_name=lines, error=error)
    hostile |= {"notes": [lines], "earlier_errors": [error | at]}
    api.on("GET", f"/jobs/{ID}", 200, hostile)
    for words in (["show", ID], ["show", ID, "--traceback"]):
        said = jobs(*words).stdout
        found = [line for line in said.splitlines() if line.startswith(("status", "result"))]
        assert found == ["status        failed, 0%"], said
