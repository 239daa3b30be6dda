"""The worker process of the legacy runner: what it takes, until when, and what it survives."""

import io
import threading
from collections.abc import Callable
from typing import Any

import pytest

from bench import Bench
from job_runners import clock
from job_runners.engine.running import execution
from job_runners.engine.schedules import schedules
from job_runners.engine.tick import timer
from job_runners.engine.wire.messages import JobMessage, TaskMessage, decode
from job_runners.engine.wire.sending import CANNOT_SEND
from job_runners.runners import legacy_worker
from job_runners.store.job_request import Status
from job_runners.work.recurring import Recurring
from outage import Outage
from sample_work import script
from telemetry_lines import logged


class Children:
    """Makes children of which each does its work as it is started, in this process."""

    def __init__(self) -> None:
        self.hang = False
        self.killed = 0
        self.exitcode = 0
        self._work: Callable[[], None] = lambda: None

    def Process(self, target: object, args: tuple[bytes, int]) -> "Children":  # noqa: N802
        """Return a child that does the work of this message."""
        text, deadline = args
        self._work = lambda: execution.run(decode(text), deadline=deadline, send=CANNOT_SEND)
        return self

    def start(self) -> None:
        if not self.hang:
            self._work()

    def join(self, seconds: float | None = None) -> None: ...

    def is_alive(self) -> bool:
        return self.hang

    def kill(self) -> None:
        self.hang = False
        self.killed += 1


class Told(threading.Event):
    """To stop, once there has been nothing to do so many times."""

    def __init__(self, after: int = 1) -> None:
        super().__init__()
        self.idle = 0
        self._after = after

    def wait(self, timeout: float | None = None) -> bool:
        self.idle += 1
        if self.idle >= self._after:
            self.set()
        return self.is_set()


@pytest.fixture
def children(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Children:
    children = Children()
    monkeypatch.setattr(legacy_worker, "_process_context", lambda: children)
    return children


def test_it_waits_only_when_there_is_nothing_to_do(
    bench: Bench, children: Children, lines: io.StringIO
) -> None:
    rows = [bench.dispatch("sample_once") for _ in range(2)]
    told = Told()
    legacy_worker.work(told)
    assert [bench.read(row).status for row in rows] == [Status.SUCCEEDED] * 2
    assert (told.idle, children.killed) == (1, 0)
    assert "crashed" not in [line["message"] for line in logged(lines)]


def test_it_begins_nothing_once_it_is_told_to_stop(
    bench: Bench, children: Children, monkeypatch: pytest.MonkeyPatch
) -> None:
    row, told, look = bench.dispatch("sample_once"), Told(), timer.send_next

    def tell_and_look(*asked: Any, **how: Any) -> Any:
        told.set()
        return look(*asked, **how)

    monkeypatch.setattr(timer, "send_next", tell_and_look)
    legacy_worker.work(told)
    assert bench.read(row).status is Status.QUEUED
    assert not script.jobs_run


def test_it_goes_on_when_dynamodb_is_back(
    bench: Bench, children: Children, outage: Outage, lines: io.StringIO
) -> None:
    class Back(Told):
        def wait(self, timeout: float | None = None) -> bool:
            outage.end()
            return super().wait(timeout)

    row = bench.dispatch("sample_once")
    outage.begin("refused")
    legacy_worker.work(Back(after=2))
    assert bench.read(row).status is Status.SUCCEEDED
    assert "crashed" in [line["message"] for line in logged(lines)]


def test_a_child_that_hangs_is_killed_at_its_deadline(
    bench: Bench, children: Children, lines: io.StringIO
) -> None:
    bench.dispatch("sample_once")
    children.hang = True
    legacy_worker.work(Told())
    assert children.killed == 1
    assert "killed at its deadline" in [line["message"] for line in logged(lines)]


@pytest.mark.parametrize(
    ("exitcode", "how"), [(-9, "signal SIGKILL"), (137, "exit code 137")], ids=["signal", "code"]
)
def test_a_child_that_dies_ends_its_attempt_at_once(
    bench: Bench, children: Children, monkeypatch: pytest.MonkeyPatch, exitcode: int, how: str
) -> None:
    row, retried = bench.dispatch("sample_once"), bench.dispatch("sample_again")
    monkeypatch.setattr(execution, "_end", lambda *_: None)  # it dies before it records anything
    children.exitcode = exitcode
    legacy_worker.work(Told())
    found = bench.read(row)
    assert found.status is Status.FAILED
    assert f"The attempt was interrupted: its process ended with {how}" in found.error["message"]
    assert bench.read(retried).status is Status.RETRYABLE


def test_a_dead_child_is_settled_later_if_dynamodb_does_not_answer(
    bench: Bench,
    children: Children,
    outage: Outage,
    monkeypatch: pytest.MonkeyPatch,
    lines: io.StringIO,
) -> None:
    row = bench.dispatch("sample_once")
    monkeypatch.setattr(execution, "_end", lambda *_: outage.begin("refused"))
    children.exitcode = -9
    legacy_worker.work(Told(after=1))
    outage.end()
    assert "left for later" in [line["message"] for line in logged(lines)]
    assert bench.read(row).status is Status.RUNNING
    bench.advance(2000)
    legacy_worker.work(Told())
    assert bench.read(row).status is Status.FAILED


def test_what_has_to_wait_is_not_begun_before_it_is_due(bench: Bench) -> None:
    message, begun = JobMessage.about(bench.dispatch()), list[object]()
    send = legacy_worker.sender(begun.append)
    send(message, 5)
    assert begun == []
    send(message)
    assert begun == [message]


def test_it_starts_what_recurs_and_takes_it_as_any_other_job(
    bench: Bench, children: Children, outage: Outage, lines: io.StringIO
) -> None:
    hourly = Recurring("sample_once", every=3600, organization_id="acme")
    schedules.put("acme", "hourly", hourly)
    bench.advance(3600)

    class Back(Told):
        def wait(self, timeout: float | None = None) -> bool:
            if self.idle == 1:
                outage.end()
            return super().wait(timeout)

    outage.begin("refused")
    legacy_worker.start_occurrences(Back(after=3))  # at the first look DynamoDB is away
    assert "crashed" in [line["message"] for line in logged(lines)]
    job_id = schedules.get("acme", "hourly").last_job_id
    assert job_id is not None
    assert bench.read(job_id).status is Status.QUEUED
    legacy_worker.work(Told())
    assert bench.read(job_id).status is Status.SUCCEEDED


def test_a_job_runs_in_a_child_of_its_own_and_not_in_that_of_another(bench: Bench) -> None:
    row = bench.dispatch("sample_once")
    legacy_worker._TaskRunner(clock.now() + 60_000).send(JobMessage.about(row))
    assert bench.read(row).status is Status.QUEUED


def test_a_task_that_can_not_begin_is_logged(bench: Bench, lines: io.StringIO) -> None:
    tasks = legacy_worker._TaskRunner(clock.now() + 60_000)
    tasks.send(TaskMessage(id="t", name="sample_gone", payload={}))
    assert "crashed" in [line["message"] for line in logged(lines)]
