"""The alarm of `async def` jobs: what it may interrupt, and what it leaves as it is."""

import asyncio
import inspect
import signal
from typing import Any

import pytest

from async_bench import LONG, kind, run
from async_work import AsyncScript
from bench import Bench
from job_runners.store import blobs
from job_runners.store.job_request import Status
from job_runners.work import RunningJob, alarm, event_loop
from job_runners.work.interrupts import TimeOverInterrupt
from sample_work import Sample

pytestmark = pytest.mark.usefixtures("async_bench")


@pytest.fixture(autouse=True)
def one_ring(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the alarm ring when a test says so, and not again by itself."""
    monkeypatch.setattr(event_loop, "_RING_INTERVAL", LONG)


def ring() -> None:
    signal.raise_signal(signal.SIGALRM)


@pytest.mark.parametrize(("rings", "patience"), [(1, LONG), (2, LONG), (2, 0)])
def test_in_the_loops_own_code_it_leaves_no_task_half_run(
    rings: int, patience: float, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when it has taken what it calls next off its list, and has not called it yet."""
    done = []
    call = asyncio.Handle._run

    def ring_then_call(handle: asyncio.Handle) -> None:
        monkeypatch.setattr(asyncio.Handle, "_run", call)
        with monkeypatch.context() as here:
            here.setattr(event_loop, "_CANCEL_TIMEOUT", patience)
            for _ in range(rings):
                ring()
        call(handle)

    async def work(job: RunningJob, payload: Sample) -> None:
        monkeypatch.setattr(asyncio.Handle, "_run", ring_then_call)
        try:
            await asyncio.sleep(0)
            await asyncio.sleep(LONG)
        except asyncio.CancelledError:
            done.append(True)
            raise

    AsyncScript.job = work
    assert kind(run(bench)) == "TimedOut"
    assert done == [True]


def test_where_the_loop_calls_its_next_it_raises_nothing_either(bench: Bench) -> None:
    """What was about to be called, such as a task that is told to end, would never be."""
    reached = []

    async def work(job: RunningJob, payload: Sample) -> None:
        frame = inspect.currentframe()
        while frame and frame.f_code is not asyncio.Handle._run.__code__:
            frame = frame.f_back
        assert frame
        assert alarm._Alarm.handler
        for _ in range(2):
            alarm._Alarm.handler(frame)
        reached.append("went on")
        await asyncio.sleep(LONG)

    AsyncScript.job = work
    assert kind(run(bench)) == "TimedOut"
    assert reached == ["went on"]


def test_what_it_rings_in_first_goes_on_to_its_next_await(bench: Bench) -> None:
    reached = []

    async def work(job: RunningJob, payload: Sample) -> None:
        ring()
        reached.append("went on")
        await asyncio.sleep(LONG)

    AsyncScript.job = work
    assert kind(run(bench)) == "TimedOut"
    assert reached == ["went on"]


def test_an_error_of_its_own_as_it_cleans_up_is_what_it_ended_in(bench: Bench) -> None:
    async def work(job: RunningJob, payload: Sample) -> None:
        ring()
        try:
            await asyncio.sleep(LONG)
        finally:
            raise ValueError("no luck")

    AsyncScript.job = work
    assert kind(run(bench)) == "ValueError"


def test_an_invocation_that_is_over_stays_so_when_its_time_is_over_too(bench: Bench) -> None:
    """It goes on in the next invocation, and no attempt has failed."""

    async def work(job: RunningJob, payload: Sample) -> None:
        bench.advance(850)
        try:
            job.checkpoint(5)
        finally:
            ring()
            await asyncio.sleep(LONG)

    AsyncScript.job = work
    row = run(bench)
    assert (row.status, row.attempt, row.cursor) == (Status.QUEUED, 1, 5)


def test_once_the_loop_is_closed_it_changes_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    close = asyncio.SelectorEventLoop.close

    def close_then_ring(loop: asyncio.SelectorEventLoop) -> None:
        close(loop)
        ring()

    async def work(job: RunningJob, payload: Sample) -> str:
        return "done"

    monkeypatch.setattr(asyncio.SelectorEventLoop, "close", close_then_ring)
    AsyncScript.job = work
    assert run(bench).status is Status.SUCCEEDED


def test_as_the_loop_winds_up_what_the_job_left_still_ends_in_order(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_tasks = asyncio.all_tasks
    ended = []

    def ring_then_list(loop: asyncio.AbstractEventLoop) -> set[asyncio.Task[Any]]:
        monkeypatch.setattr(asyncio, "all_tasks", all_tasks)
        for _ in range(2):
            ring()
        return all_tasks(loop)

    async def child() -> None:
        try:
            await asyncio.sleep(LONG)
        except asyncio.CancelledError:
            ended.append(True)
            raise

    async def work(job: RunningJob, payload: Sample) -> str:
        work.child = asyncio.create_task(child())  # type: ignore[attr-defined]
        await asyncio.sleep(0)
        monkeypatch.setattr(asyncio, "all_tasks", ring_then_list)
        return "done"

    AsyncScript.job = work
    assert run(bench).status is Status.SUCCEEDED
    assert ended == [True]


@pytest.mark.parametrize("error", [TimeOverInterrupt(), RuntimeError("Event loop stopped")])
def test_a_result_stands_though_the_loop_is_left_as_it_winds_up(
    error: BaseException, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An alarm may ring between two calls of the loop's, or stop it as the function ends."""
    begin = asyncio.Runner.run
    closed = []

    def begin_then_fail(runner: asyncio.Runner, coroutine: Any) -> Any:
        def fail(_runner: asyncio.Runner, coroutine: Any) -> None:
            coroutine.close()
            raise error

        monkeypatch.setattr(asyncio.Runner, "run", fail)
        return begin(runner, coroutine)

    async def child() -> None:
        try:
            await asyncio.sleep(LONG)
        finally:
            closed.append(True)

    async def work(job: RunningJob, payload: Sample) -> str:
        work.child = asyncio.create_task(child())  # type: ignore[attr-defined]
        await asyncio.sleep(0)
        return "done"

    monkeypatch.setattr(asyncio.Runner, "run", begin_then_fail)
    AsyncScript.job = work
    row = run(bench)
    assert (row.status, blobs.get(row.result, row.result_key)) == (Status.SUCCEEDED, "done")
    assert closed == [True]
