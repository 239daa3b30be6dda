"""AROUND: what an organisation puts around its work sees everything, and changes nothing."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

import pytest

from api_events import Logged
from bench import Bench
from job_runners import clock
from job_runners.engine.registry.errors import FunctionsNotLoaded
from job_runners.engine.registry.registry import registry
from job_runners.engine.running import execution, failure_records
from job_runners.engine.wire.messages import TaskMessage
from job_runners.errors import DoNotRetry
from job_runners.store import caller_transitions
from job_runners.store.job_request import JobRequest, Status
from job_runners.work import CurrentWork, RunningJob
from job_runners.work.around import Around
from job_runners.work.errors import FunctionNotLoaded
from job_runners.work.interrupts import CancelInterrupt, InvocationOverInterrupt, TimeOverInterrupt
from outfit_files import Outfit
from sample_work import Sample, script

Put = Callable[..., None]


@pytest.fixture
def put(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Put:
    """Put these factories around the sample work."""

    def put(*factories: Any) -> None:
        around = tuple(Around(each, f"acme.AROUND[{n}]") for n, each in enumerate(factories))
        monkeypatch.setitem(registry().__dict__, "around", around)

    return put


class Seen:
    """Keeps the work it is put around, and what it sees of its end."""

    def __init__(self, swallow: bool = False) -> None:
        self.work: list[CurrentWork] = []
        self.ends: list[type[BaseException] | None] = []
        self._swallow = swallow

    def __call__(self, work: CurrentWork) -> "Seen":
        self.work.append(work)
        return self

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        self.ends.append(kind)
        return self._swallow


def refuses(work: CurrentWork) -> AbstractContextManager[None]:
    raise ConnectionError("no database")


@contextmanager
def fails_after(work: CurrentWork) -> Iterator[None]:
    try:
        yield
    finally:
        raise ConnectionError("not flushed")


@contextmanager
def takes_all(work: CurrentWork) -> Iterator[None]:
    with suppress(BaseException):
        yield


@contextmanager
def hangs_after(work: CurrentWork) -> Iterator[None]:
    yield
    time.sleep(60)


def hangs_before(work: CurrentWork) -> AbstractContextManager[None]:
    time.sleep(60)
    raise AssertionError


def note(bench: Bench, name: str = "sample_note_again") -> TaskMessage:
    message = TaskMessage(id="t", name=name, payload={"number": 2}, attempt=2)
    execution.run(message, deadline=clock.now() + 60_000, send=bench.send)
    return message


# --- what they see --------------------------------------------------------------------------------


def test_they_are_told_what_they_are_around(bench: Bench, put: Put) -> None:
    seen = Seen()
    put(seen)
    row = bench.run(bench.dispatch("sample_again"))
    note(bench)
    assert seen.work == [
        CurrentWork(
            kind="job",
            name="sample_again",
            id=row.id,
            organization_id="acme",
            attempt=1,
            invocation=1,
        ),
        CurrentWork(
            kind="task",
            name="sample_note_again",
            id="t",
            organization_id=None,
            attempt=2,
        ),
    ]
    assert seen.ends == [None, None]


def test_the_first_is_the_outermost_and_all_are_entered_after_the_claim(
    bench: Bench, put: Put
) -> None:
    order = []

    def named(name: str) -> Any:
        @contextmanager
        def around(work: CurrentWork) -> Iterator[None]:
            order.append(f"{name} enters, job {bench.read(work.id).status}")
            yield
            order.append(f"{name} leaves")

        return around

    put(named("a"), named("b"))
    bench.run(bench.dispatch())
    entered = [f"{name} enters, job running" for name in "ab"]
    assert order == [*entered, "b leaves", "a leaves"]


# --- what they can't change -----------------------------------------------------------------------


@pytest.mark.parametrize("swallowing", [Seen(swallow=True), takes_all])
@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ValueError, Status.RETRYABLE),
        (DoNotRetry, Status.FAILED),
        (InvocationOverInterrupt, Status.QUEUED),
        (TimeOverInterrupt, Status.RETRYABLE),
    ],
)
def test_no_error_and_no_signal_is_swallowed(
    swallowing: Any, error: type[BaseException], status: Status, bench: Bench, put: Put
) -> None:
    outer = Seen()
    put(outer, swallowing)

    def work(job: RunningJob, payload: Sample) -> None:
        raise error("x")

    script.job = work
    assert bench.run(bench.dispatch()).status is status
    assert outer.ends == [error]


def test_a_canceled_job_is_canceled(bench: Bench, put: Put) -> None:
    seen = Seen(swallow=True)
    put(seen)

    def work(job: RunningJob, payload: Sample) -> None:
        caller_transitions.request_cancel(bench.read(job.id))
        job.checkpoint(1, durable=True)

    script.job = work
    assert bench.run(bench.dispatch()).status is Status.CANCELED
    assert seen.ends == [CancelInterrupt]


def test_one_that_fails_afterwards_hides_no_error(
    bench: Bench, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged = Logged(monkeypatch)
    outer = Seen()
    put(outer, fails_after)

    def work(job: RunningJob, payload: Sample) -> None:
        raise ValueError("no luck")

    script.job = work
    row = bench.run(bench.dispatch("sample_once"))
    assert row.error is not None
    assert row.error["kind"] == "ValueError"
    assert outer.ends == [ValueError]
    assert "acme.AROUND[1] (fails_after) failed after the function had ended" in logged.text


@pytest.mark.parametrize("failing", [fails_after, hangs_after])
def test_one_that_fails_afterwards_makes_no_failure_of_a_success(
    failing: Any, bench: Bench, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged = Logged(monkeypatch)
    outer = Seen()
    put(outer, failing)
    began = time.monotonic()
    row = bench.run(bench.dispatch("sample_once"), seconds=2)
    assert time.monotonic() - began < 30
    assert row.status is Status.SUCCEEDED
    assert outer.ends == [None]
    (line,) = logged.lines("around failed")
    assert line["job_id"] == row.id
    assert f"acme.AROUND[1] ({failing.__qualname__})" in line["exception"]


def test_one_that_raises_the_works_own_error_again_has_not_failed(
    bench: Bench, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    class RaisesAgain(Seen):
        def __exit__(self, kind: type[BaseException] | None, *of_error: object) -> bool:
            assert isinstance(of_error[0], BaseException)
            raise of_error[0]

    def fail(job: object, payload: object) -> None:
        raise ValueError("no luck")

    logged = Logged(monkeypatch)
    script.job = fail
    put(RaisesAgain())
    row = bench.run(bench.dispatch("sample_once"))
    assert (row.status, row.error["kind"]) == (Status.FAILED, "ValueError")
    assert logged.lines("around failed") == []


# --- one that can't be entered --------------------------------------------------------------------


@pytest.mark.parametrize("failing", [refuses, hangs_before])
@pytest.mark.parametrize("job_type", ["sample_once", "sample_again"])
def test_a_job_whose_function_was_not_called_goes_back(
    job_type: str, failing: Any, bench: Bench, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged = Logged(monkeypatch)
    outer = Seen()
    put(outer, failing)
    row = bench.run(bench.dispatch(job_type), seconds=2)
    assert (row.status, row.attempt, row.invocations, row.error) == (Status.QUEUED, 1, 0, None)
    assert script.jobs_run == []
    assert outer.ends != [None]
    (line,) = logged.lines("left for later")
    assert f"acme.AROUND[1] ({failing.__qualname__}) failed before the fun" in line["why"]
    put(outer)  # the database is back
    bench.advance(120)
    bench.tick()
    bench.deliver()
    assert bench.read(row).status is Status.SUCCEEDED


def test_ctrl_c_on_the_way_in_goes_on_to_the_process(bench: Bench, put: Put) -> None:
    def interrupted(work: CurrentWork) -> AbstractContextManager[None]:
        raise KeyboardInterrupt

    put(interrupted)
    row = bench.dispatch("sample_again")
    with pytest.raises(KeyboardInterrupt):
        bench.run(row)
    assert bench.read(row).status is Status.RETRYABLE


def test_one_that_is_never_entered_fails_the_job_in_the_end(bench: Bench, put: Put) -> None:
    put(refuses)

    def keep(row: JobRequest, hours: int) -> JobRequest:
        for _ in range(hours):
            bench.advance(3600)
            bench.tick()
            bench.deliver()
        return bench.read(row)

    never = bench.dispatch("sample_once")
    assert (bench.run(never).status, never.invocations) == (Status.QUEUED, 0)
    assert keep(never, 20).status is Status.QUEUED
    row = keep(never, 10)
    assert row.status is Status.FAILED
    assert row.error is not None
    assert row.error["kind"] in ("AroundFailed", "NeverStarted")


def test_a_task_is_tried_again_as_far_as_it_is_tagged(
    bench: Bench, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged = Logged(monkeypatch)
    put(refuses)
    note(bench)
    assert [each.attempt for each in bench.sent_tasks] == [3]
    note(bench, "sample_note")
    assert len(bench.sent_tasks) == 1
    (line,) = logged.lines("task failed")
    assert line["exception_name"] == "AroundFailed"
    assert script.tasks_run == []


# --- where they come from -------------------------------------------------------------------------


AROUND = """
from contextlib import contextmanager

SEEN = []

@contextmanager
def tracked(work):
    SEEN.append(work.name)
    yield
"""
TABLE = """
from job_runners.work import Job, Task
JOBS = {"letters": Job("outfit.letters:count")}
TASKS = {"letter_note": Task("outfit.letters:note")}
AROUND = ["outfit.tracking:tracked"]
"""


def test_an_entry_by_name_is_imported_when_work_first_runs(bench: Bench, outfit: Outfit) -> None:
    outfit.write(TABLE, "__init__")
    outfit.write(AROUND, "tracking")
    row = bench.dispatch("letters", payload={})
    assert bench.run(row).status is Status.SUCCEEDED
    import outfit.tracking as tracking  # type: ignore[import-not-found]

    assert tracking.SEEN == ["letters"]


def test_the_modules_of_all_work_are_known_before_it_runs(outfit: Outfit) -> None:
    """The legacy runner's worker imports them once, for all its children."""
    itself = TABLE.replace('["outfit.tracking:tracked"]', '("outfit.tracking:tracked", print)')
    outfit.write(f"{itself}\nfrom sample_work import again\nJOBS['x'] = Job(again)", "__init__")
    modules = outfit.registry().modules()
    assert {"outfit.letters", "outfit.tracking", "sample_work"} <= set(modules)
    assert "outfit.tracking" not in sys.modules


def test_one_that_is_no_function_is_named(outfit: Outfit) -> None:
    outfit.write(TABLE, "__init__")
    outfit.write("tracked = 5", "tracking")
    with pytest.raises(FunctionsNotLoaded, match=r"outfit\.AROUND\[0\].*that is not a function"):
        outfit.registry().resolve_all()


def test_one_that_can_not_be_imported_lets_nothing_begin(bench: Bench, outfit: Outfit) -> None:
    outfit.write(TABLE, "__init__")
    outfit.write("import no_such_distribution", "tracking")
    row = bench.dispatch("letters", payload={})
    assert (bench.run(row).status, bench.read(row).invocations) == (Status.QUEUED, 0)
    message = TaskMessage(id="t", name="letter_note", payload={})
    with pytest.raises(FunctionNotLoaded):
        execution.run(message, deadline=clock.now() + 60_000, send=bench.send)
    record = {
        "requestContext": {"condition": "RetriesExhausted", "approximateInvokeCount": 1},
        "requestPayload": {"v": 1, "kind": "task", **message._asdict()},
        "responsePayload": {"errorType": "FunctionNotLoaded", "errorMessage": "no"},
    }
    with pytest.raises(FunctionNotLoaded):  # kept: sent again now, it would come back for ever
        failure_records.handle_record(record, bench.send)
    with pytest.raises(FunctionsNotLoaded, match=r"outfit\.AROUND\[0\].*tracking.py, line 1"):
        registry().resolve_all()
