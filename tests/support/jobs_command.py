"""The `jobs` command run in this process, and an API that answers as a test says."""

import json
import os
import pty
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from job_runners.cli import local_aws
from job_runners.cli.app import jobs as command
from job_runners.places import ROOT

PATIENCE = 120  # seconds, for a process to say or do something on a busy machine
ID = "3f9a" + "0" * 28


class RawText(str):
    """A body that is not JSON."""


@dataclass(frozen=True)
class Call:
    """What the API was asked."""

    method: str
    path: str
    headers: Message
    body: Any


@dataclass
class FakeApi:
    """Answers each call with what a test has put down for it: the answers in turn, then the last
    again. What nobody put down is a 404, and no job has children or a timeline."""

    url: str = ""
    calls: list[Call] = field(default_factory=list)
    _answers: dict[tuple[str, str], list[tuple[int, Any, dict[str, str]]]] = field(
        default_factory=dict
    )

    def on(self, method: str, path: str, status: int, body: Any = None, **headers: str) -> None:
        """Put down an answer. `Retry_After` is the header Retry-After."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._answers.setdefault((method, path), []).append((status, body, named))

    def answer(self, call: Call) -> tuple[int, Any, dict[str, str]]:
        """Return what a call gets."""
        self.calls.append(call)
        put_down = self._answers.get((call.method, call.path))
        if not put_down and call.path.endswith("/children?limit=100"):
            return 200, {"children": [], "cursor": None}, {}
        if not put_down and call.path.endswith("/timeline"):
            return 200, {"records": [], "acts": [], "gaps": [], "complete": True}, {}
        if not put_down:
            return 404, problem(404, f"there is nothing at {call.method} {call.path}"), {}
        return put_down.pop(0) if len(put_down) > 1 else put_down[0]

    def asked(self, method: str, path: str) -> list[Call]:
        """Return the calls of one kind."""
        return [each for each in self.calls if (each.method, each.path) == (method, path)]


def problem(status: int, detail: str, *errors: dict[str, Any]) -> dict[str, Any]:
    """Return a refusal, as the API words it."""
    said = {"type": "about:blank", "title": "Refused", "status": status, "detail": detail}
    return said | ({"errors": list(errors)} if errors else {})


def job(status: str, **changes: Any) -> dict[str, Any]:
    """Return a job as the API shows it."""
    names = ("queued", "run", "started", "finished", "updated", "expires")
    times = dict.fromkeys(f"{name}_at" for name in names)
    return {
        "id": ID,
        "job_type": "import_contacts",
        "status": status,
        "progress": 0,
        "result_message": None,
        "error": None,
        "waits_for": None,
        "organization_id": "default",
        "queue_name": "default",
        "attempt": 1,
        "max_attempts": 5,
        "invocations": 1,
        "cancel_requested": False,
        "created_at": "2026-11-24T12:00:00.000Z",
        **times,
        "request_id": "request-1",
        **changes,
    }


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeApi]:
    """Yield an API that JOBS_API_URL leads to, and no local AWS."""
    fake = FakeApi()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = json.loads(sent) if sent else None
            status, said, headers = fake.answer(Call(self.command, self.path, self.headers, body))
            data = b"" if said is None else json.dumps(said).encode()
            if isinstance(said, RawText):
                data = said.encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(data)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        fake.url = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("JOBS_API_URL", fake.url)
        monkeypatch.setattr(local_aws, "HOME", tmp_path / "no-local-aws")
        yield fake
        server.shutdown()
        thread.join()


def jobs(*words: str, stdin: str | None = None, **environment: str) -> Result:
    """Run one command line, where nobody can answer a question."""
    done = CliRunner().invoke(command, list(words), input=stdin, env=environment)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


_terminals: list["Terminal"] = []


@pytest.fixture(autouse=True)
def no_terminal_is_left() -> Iterator[None]:
    """Whatever a test started ends with it, also when it fails before it has stopped that."""
    yield
    while _terminals:
        _terminals.pop().close()


class Terminal:
    """A `jobs` command in a process of its own, on a terminal."""

    def __init__(self, *words: str) -> None:
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "job_runners.cli", *words],
            env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "120"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self.text = ""
        _terminals.append(self)

    def until(self, words: str) -> str:
        """Return what was shown once it contains these words, or at the end."""
        deadline = time.monotonic() + PATIENCE
        while words not in self.text and time.monotonic() < deadline:
            if not self._read():
                break
        assert words in self.text, self.text
        return self.text

    def _read(self) -> bool:
        if not select.select([self._ours], [], [], 1)[0]:
            return True
        try:
            data = os.read(self._ours, 65536)
        except OSError:  # nobody holds the other end any more
            return False
        self.text += data.decode(errors="replace")
        return bool(data)

    def end(self) -> int:
        """Its exit code, with all it said read."""
        deadline = time.monotonic() + PATIENCE
        while self._read() and self.process.poll() is None:
            assert time.monotonic() < deadline, f"it goes on and on: {self.text}"
        return self.process.wait(timeout=PATIENCE)

    def close(self) -> None:
        """End it, if it has not ended."""
        self.process.kill()
        self.process.wait()
        os.close(self._ours)
