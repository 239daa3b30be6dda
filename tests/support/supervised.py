"""Run `job-runners run` on a project in a folder, as where Job Runners is installed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from in_project import installed_code
from job_runners.cli.stack import Stack
from stack_clients import StackApi, session, stack_api

PATIENCE = 60  # seconds, on a busy machine
ENDED = ("succeeded", "failed", "canceled")
WORK = Path(__file__).with_name("supervised_work.py")
SAMCONFIG = """
version = 0.1
[default.global.parameters]
stack_name = "local-tests"
"""


def write_project(folder: Path, files: Mapping[str, str] | None = None) -> Path:
    """Write a project with the package my_work, or with these files; return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    given = {"samconfig.toml": SAMCONFIG, "my_work/__init__.py": WORK.read_text(), **(files or {})}
    for name, text in given.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def until(look: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """Return what `look` returns as soon as it is true."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
    return found


class StackUnderTest:
    """What tests do with a stack, over its API and over AWS."""

    stack: Stack
    organization = "default"  # whose jobs `dispatch` makes

    @property
    def api(self) -> StackApi:
        """The API, called as a service would."""
        return stack_api(self.stack)

    def client(self, service: Any) -> Any:
        """Return a client of an AWS service."""
        return session(self.stack).client(service, endpoint_url=self.stack.endpoint_url)

    def dispatch(self, job_type: str, payload: Any = None, **more: Any) -> str:
        """Dispatch a job and return its id."""
        body = {"job_type": job_type, "organization_id": self.organization} | more
        answer = self.api.post("/jobs", {"payload": payload or {}} | body)
        assert answer.status in (200, 202), answer.text
        return str(answer.json["id"])

    def job(self, job_id: str) -> dict[str, Any]:
        """Return a job."""
        found: dict[str, Any] = self.api.get(f"/jobs/{job_id}").json
        return found

    def reach(self, job_id: str, *statuses: str) -> dict[str, Any]:
        """Return a job once it has one of these statuses, or has ended if none is given."""
        deadline = time.monotonic() + PATIENCE
        while (found := self.job(job_id))["status"] not in (statuses or ENDED):
            assert found["status"] not in ENDED, found
            assert time.monotonic() < deadline, found
            time.sleep(0.02)
        return found

    def result(self, job_type: str, payload: Any = None, **more: Any) -> Any:
        """Run a job to its success, and return its result."""
        job = self.reach(self.dispatch(job_type, payload, **more))
        assert job["status"] == "succeeded", job
        return job.get("result")

    def upload(self, name: str, content: bytes) -> str:
        """Upload a file of the organization, and return its key."""
        key = f"uploads/{self.organization}/{name}"
        self.client("s3").put_object(Bucket=self.stack.bucket_name, Key=key, Body=content)
        return key

    def make_due(self, job_id: str) -> bool:
        """As if the minute, or more, that a row is left alone had passed. Return False if the job
        is finished, and will never be due."""
        dynamodb = self.client("dynamodb")
        try:
            dynamodb.update_item(
                TableName=self.stack.table_name,
                Key={"id": {"S": job_id}},
                UpdateExpression="SET due_at = :now",
                ConditionExpression="attribute_exists(due_at)",
                ExpressionAttributeValues={":now": {"N": str(int(time.time() * 1000) - 1000)}},
            )
        except dynamodb.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def tick(self) -> None:
        """Run the timer now, and not at the next minute."""
        timer = self.stack.timer_function_name
        answer = self.client("lambda").invoke(FunctionName=timer, Payload=b"{}")
        assert answer["Payload"].read() == b"null"  # and not an error


@dataclass
class Run(StackUnderTest):
    """A running local AWS, or one that is starting."""

    project: Path
    process: "subprocess.Popen[bytes]"
    output: Path
    stack: Stack = field(init=False)  # once it is ready

    @property
    def shown(self) -> str:
        """What the terminal has shown."""
        return self.output.read_text(errors="replace")

    @cached_property
    def api(self) -> StackApi:
        """The API, called with the credentials of the run."""
        return stack_api(self.stack)

    def wait_until_ready(self) -> None:
        """Wait until the first screen is shown."""

        def is_ready() -> bool:
            assert self.process.poll() is None, self.shown
            return "Ctrl-C stops it" in self.shown  # the end of the first screen

        until(is_ready)
        self.stack = Stack.load(self.project / ".local" / "stack.json")

    def command(
        self, *words: str, code: int | None = 0, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run the installed command in the project."""
        done = subprocess.run(
            [sys.executable, "-P", "-m", "job_runners.cli", *words],
            cwd=self.project,
            env=environment(self.project, **variables),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert code is None or done.returncode == code, done.stdout + done.stderr
        return done

    def processes(self) -> list[int]:
        """Return the ids of the processes that the run has started, and of those they have."""
        listed = subprocess.run(
            ["ps", "-A", "-o", "pid=,ppid=,stat="], capture_output=True, text=True, check=True
        )
        rows = [line.split() for line in listed.stdout.splitlines()]
        found = {self.process.pid}
        for _ in range(6):
            found |= {int(pid) for pid, parent, _ in rows if int(parent) in found}
        return sorted(found - {self.process.pid})

    def stop(self, number: int = signal.SIGINT) -> int:
        """End the run with a signal, and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(PATIENCE)


def environment(project: Path, **variables: str) -> dict[str, str]:
    """Return the environment of a command in a project."""
    names = ("PATH", "HOME", "LANG")
    kept = {name: os.environ[name] for name in names if name in os.environ}
    places = {"PYTHONPATH": str(installed_code()), "JOBS_PROJECT": str(project)}
    return {**kept, **places, "COLUMNS": "200", **variables}


def is_alive(process: int) -> bool:
    """Return whether a process runs."""
    shown = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(process)], capture_output=True, text=True, check=False
    )
    return bool(shown.stdout.strip()) and "Z" not in shown.stdout


def start(project: Path, *options: str, **variables: str) -> Run:
    """Start a run."""
    output = project.with_name(f"{project.name}.{time.monotonic_ns()}.out")
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "job_runners.cli", "run", *options],
            cwd=project,
            env=environment(project, **variables),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    run = Run(project, process, output)
    _started.append(run)
    return run


# The ways in which processes of functions begin.
WAYS = ["fork", pytest.param("spawn", marks=pytest.mark.more)]
_started: list[Run] = []  # by `start` alone


@pytest.fixture(autouse=True)
def no_run_is_left() -> Iterator[None]:
    """Kill the runs that a failed test has left."""
    yield
    while _started:
        _started.pop().stop(signal.SIGKILL)


@contextmanager
def running(project: Path, *options: str, **variables: str) -> Iterator[Run]:
    """Yield a run that is ready, and stop it at the end. It must leave no process."""
    run = start(project, *options, **variables)
    _started.remove(run)
    try:
        run.wait_until_ready()
        yield run
    finally:
        started = run.processes()
        code = run.stop()
    until(lambda: not any(map(is_alive, started)))
    assert code == 0, run.shown


@pytest.fixture(scope="session", params=WAYS)
def supervised(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[Run]:
    """Yield a run that tests share, with each way in which processes of functions begin."""
    project = write_project(tmp_path_factory.mktemp(f"run-{request.param}") / "project")
    options = ["--processes", request.param, "--parameter", "KeepTaskPayloads=true"]
    with running(project, *options) as run:
        yield run


def events(text: str) -> list[dict[str, Any]]:
    """Return the lines of a text that are JSON."""
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]
