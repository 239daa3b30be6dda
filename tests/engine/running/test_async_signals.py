"""What ends an `async def` job at a checkpoint, from whichever of its tasks."""

import asyncio
import contextlib
import inspect
import sys
import threading
import time
from typing import Any

import pytest

from async_bench import LONG, kind, run
from async_work import AsyncScript
from bench import Bench
from job_runners.engine.lines import pausing
from job_runners.store import caller_transitions, transitions
from job_runners.store.job_request import Status
from job_runners.store.pauses import Kind
from job_runners.work import RunningJob, event_loop
from job_runners.work.interrupts import InvocationOverInterrupt
from sample_work import Sample

pytestmark = pytest.mark.usefixtures("async_bench")


async def by_itself(job: RunningJob, report: Any) -> None:
    report()
    await asyncio.sleep(LONG)


async def in_a_group(job: RunningJob, report: Any) -> None:
    async def child() -> None:
        report()

    async with asyncio.TaskGroup() as group:
        group.create_task(child())
        group.create_task(asyncio.sleep(LONG))


async def in_a_task_that_nobody_awaits(job: RunningJob, report: Any) -> None:
    async def child() -> None:
        report()

    kept = asyncio.create_task(child())
    await asyncio.sleep(LONG)
    await kept


async def among_results(job: RunningJob, report: Any) -> None:
    async def child() -> None:
        report()

    await asyncio.gather(child(), return_exceptions=True)


async def in_a_thread(job: RunningJob, report: Any) -> None:
    kept = asyncio.create_task(asyncio.to_thread(report))
    await asyncio.sleep(LONG)
    await kept


async def in_a_thread_that_nobody_awaits(job: RunningJob, report: Any) -> None:
    def work() -> None:
        with contextlib.suppress(BaseException):
            report()

    threading.Thread(target=work).start()
    await asyncio.sleep(LONG)


async def in_a_callback(job: RunningJob, report: Any) -> None:
    asyncio.get_running_loop().call_soon(report)
    await asyncio.sleep(LONG)


@pytest.mark.parametrize(
    "where",
    [
        by_itself,
        in_a_group,
        in_a_task_that_nobody_awaits,
        among_results,
        in_a_thread,
        in_a_thread_that_nobody_awaits,
        in_a_callback,
    ],
)
@pytest.mark.parametrize("what", ["canceled", "paused", "claim lost", "invocation over"])
def test_what_ends_a_job_reaches_it_from_any_task(where: Any, what: str, bench: Bench) -> None:
    row = bench.dispatch("async_again")

    def report(job: RunningJob) -> None:
        match what:
            case "canceled":
                caller_transitions.request_cancel(bench.read(row))
            case "paused":
                pausing.pause(Kind.JOB_TYPE, "async_again")
            case "claim lost":
                transitions.fail(bench.read(row), {"kind": "x", "message": "x"})
            case "invocation over":
                bench.advance(850)
        job.checkpoint(5, progress=10, durable=True)

    async def work(job: RunningJob, payload: Sample) -> None:
        await where(job, lambda: report(job))

    AsyncScript.job = work
    began = time.monotonic()
    found = bench.run(row)
    assert time.monotonic() - began < 30
    expected = {
        "canceled": Status.CANCELED,
        "paused": Status.WAITING,
        "claim lost": Status.FAILED,
        "invocation over": Status.QUEUED,
    }
    assert found.status is expected[what]
    assert found.attempt == 1
    if what in ("paused", "invocation over"):
        assert found.cursor == 5


@pytest.mark.parametrize(
    ("error", "logged"), [(ValueError("no luck"), ["no luck"]), (InvocationOverInterrupt(), [])]
)
def test_of_what_a_callback_raises_errors_are_logged(
    error: BaseException, logged: list[str], bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise error

    async def work(job: RunningJob, payload: Sample) -> None:
        asyncio.get_running_loop().call_soon(fail)
        await asyncio.sleep(0.01)

    AsyncScript.job = work
    assert run(bench).status is Status.SUCCEEDED
    errors = [each.exc_info for each in caplog.records if each.name == "asyncio"]
    assert [str(each[1]) for each in errors if each] == logged


def test_it_may_clean_up_when_its_invocation_is_over(bench: Bench) -> None:
    done = []

    async def work(job: RunningJob, payload: Sample) -> None:
        bench.advance(850)
        try:
            job.checkpoint(5)
        finally:
            await asyncio.sleep(0)
            done.append(True)

    AsyncScript.job = work
    assert run(bench).status is Status.QUEUED
    assert done == [True]


def test_an_error_of_its_own_on_the_way_out_is_what_it_ended_in(bench: Bench) -> None:
    async def work(job: RunningJob, payload: Sample) -> None:
        bench.advance(850)
        try:
            job.checkpoint(5)
        finally:
            raise ValueError("no luck")

    AsyncScript.job = work
    assert kind(run(bench)) == "ValueError"


def test_the_first_of_several_signals_ends_it(bench: Bench) -> None:
    async def work(job: RunningJob, payload: Sample) -> None:
        pausing.pause(Kind.JOB_TYPE, "async_once")
        try:
            job.checkpoint(5, durable=True)
        finally:
            bench.advance(850)
            job.checkpoint(6)

    AsyncScript.job = work
    assert run(bench).status is Status.WAITING


def test_a_signal_that_it_swallows_ends_it_all_the_same(bench: Bench) -> None:
    async def work(job: RunningJob, payload: Sample) -> str:
        bench.advance(850)
        with contextlib.suppress(BaseException):
            job.checkpoint(5)
        return "done"

    AsyncScript.job = work
    row = run(bench)
    assert (row.status, row.cursor) == (Status.QUEUED, 5)


def test_a_job_that_calls_exit_fails_like_any_other(bench: Bench) -> None:
    async def work(job: RunningJob, payload: Sample) -> None:
        sys.exit(3)

    AsyncScript.job = work
    assert kind(run(bench)) == "SystemExit"


def test_one_that_never_begins_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python would warn that it was never awaited."""

    def interrupted(runner: object, coroutine: Any) -> None:
        coroutine.close()
        raise KeyboardInterrupt

    async def work() -> None: ...

    monkeypatch.setattr(asyncio.Runner, "run", interrupted)
    coroutine = work()
    with pytest.raises(KeyboardInterrupt):
        event_loop.run(coroutine)
    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED


def test_a_thread_that_goes_on_learns_that_the_job_is_not_its_own_any_more(bench: Bench) -> None:
    ended, told = threading.Event(), []

    def report(job: RunningJob) -> None:
        ended.wait(LONG)
        try:
            job.checkpoint(5, durable=True)
        except BaseException as error:  # noqa: BLE001 - none of them is an Exception
            told.append(type(error).__name__)

    async def work(job: RunningJob, payload: Sample) -> None:
        threads.append(threading.Thread(target=report, args=[job]))
        threads[0].start()

    threads: list[threading.Thread] = []
    AsyncScript.job = work
    assert run(bench).status is Status.SUCCEEDED
    ended.set()
    threads[0].join()
    assert told == ["ClaimLostInterrupt"]
