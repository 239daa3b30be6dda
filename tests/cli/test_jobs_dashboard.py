"""job-runners dashboard: the page of any stack, on this machine."""

import json
import signal
import socket
import urllib.error
import urllib.request

import pytest

from jobs_command import PATIENCE, FakeApi, Terminal, jobs


def test_the_page_is_served_until_it_is_stopped_and_its_calls_are_signed(api: FakeApi) -> None:
    api.on("GET", "/job-types", 200, {"jobs": [], "tasks": []})
    api.on("GET", "/", 200, "the page")
    terminal = Terminal("dashboard", "--json")
    url = json.loads(terminal.until("\n"))["url"]
    with urllib.request.urlopen(url, timeout=PATIENCE) as response:
        assert json.load(response) == "the page"
    assert api.calls[-1].headers["Authorization"].startswith("AWS4-HMAC-SHA256 Credential=test/")
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.end() == 0
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url, timeout=PATIENCE)


def test_who_may_not_call_the_api_is_told_at_once(api: FakeApi) -> None:
    api.on("GET", "/job-types", 403, {"message": "Forbidden"})
    done = jobs("dashboard")
    assert done.exit_code == 5
    assert "execute-api:Invoke" in done.stderr


def test_a_port_that_is_taken_is_said(api: FakeApi) -> None:
    api.on("GET", "/job-types", 200, {"jobs": [], "tasks": []})
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = jobs("dashboard", "--port", str(taken.getsockname()[1]))
    assert done.exit_code == 1
    assert "Can't use port" in done.stderr
