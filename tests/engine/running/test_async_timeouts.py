"""`async def` jobs whose time is over: they end, whatever they do."""

import asyncio
import contextlib
import signal
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from async_bench import LONG, kind, run
from async_work import AsyncScript
from bench import Bench
from job_runners import clock
from job_runners.engine.running import execution
from job_runners.engine.wire.messages import JobMessage
from job_runners.store.job_request import Status
from job_runners.work import RunningJob
from sample_work import Sample

pytestmark = pytest.mark.usefixtures("async_bench")


async def awaits(job: RunningJob, payload: Sample) -> None:
    await asyncio.sleep(LONG)


async def blocks(job: RunningJob, payload: Sample) -> None:
    time.sleep(LONG)


async def computes(job: RunningJob, payload: Sample) -> None:
    while True:
        pass


async def blocks_in_a_child(job: RunningJob, payload: Sample) -> None:
    child = asyncio.create_task(blocks(job, payload))
    await asyncio.sleep(LONG)
    await child


async def waits_in_a_group(job: RunningJob, payload: Sample) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(awaits(job, payload))


async def blocks_in_a_callback(job: RunningJob, payload: Sample) -> None:
    asyncio.get_running_loop().call_soon(time.sleep, LONG)
    asyncio.get_running_loop().call_soon(computes_without_a_task)
    await asyncio.sleep(LONG)


def computes_without_a_task() -> None:
    until = time.monotonic() + LONG
    while time.monotonic() < until:
        pass


async def swallows(job: RunningJob, payload: Sample) -> None:
    until = time.monotonic() + LONG
    while time.monotonic() < until:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(LONG)


async def swallows_and_cleans_up(job: RunningJob, payload: Sample) -> None:
    try:
        await swallows(job, payload)
    finally:
        await asyncio.sleep(0)


async def has_a_child_that_swallows(job: RunningJob, payload: Sample) -> None:
    await asyncio.gather(swallows(job, payload), swallows(job, payload))


async def spins(job: RunningJob, payload: Sample) -> None:
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0)


async def waits_for_a_thread(job: RunningJob, payload: Sample) -> None:
    await asyncio.to_thread(Released.event.wait, LONG)


async def cleans_up_for_ever(job: RunningJob, payload: Sample) -> None:
    try:
        await asyncio.sleep(LONG)
    finally:
        await asyncio.sleep(LONG)


class Released:
    event = threading.Event()


@pytest.mark.parametrize(
    "work",
    [
        awaits,
        blocks,
        computes,
        blocks_in_a_child,
        waits_in_a_group,
        blocks_in_a_callback,
        swallows_and_cleans_up,
        has_a_child_that_swallows,
        spins,
        waits_for_a_thread,
        cleans_up_for_ever,
    ],
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_its_time_is_over_whatever_it_does(work: Any, bench: Bench) -> None:
    AsyncScript.job = work
    Released.event.clear()
    began = time.monotonic()
    try:
        row = run(bench, seconds=1)
    finally:
        Released.event.set()
    assert time.monotonic() - began < 30
    assert (row.status, kind(row)) == (Status.FAILED, "TimedOut")


def test_it_may_clean_up_when_its_time_is_over(bench: Bench) -> None:
    done = []

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.sleep(LONG)
        finally:
            await asyncio.sleep(0)
            done.append("generator")

    async def child() -> None:
        try:
            await asyncio.sleep(LONG)
        finally:
            await asyncio.sleep(0)
            done.append("child")

    async def work(job: RunningJob, payload: Sample) -> None:
        kept = asyncio.create_task(child())
        iterator = numbers()
        await anext(iterator)
        try:
            await asyncio.sleep(LONG)
        finally:
            await asyncio.sleep(0)
            done.append("job")
        await kept

    AsyncScript.job = work
    assert kind(run(bench, seconds=1)) == "TimedOut"
    assert sorted(done) == ["child", "generator", "job"]


def test_an_alarm_before_it_has_begun_ends_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = asyncio.Runner.run

    def ring_then_begin(runner: Any, coroutine: Any) -> Any:
        monkeypatch.setattr(asyncio.Runner, "run", begin)
        signal.raise_signal(signal.SIGALRM)
        return begin(runner, coroutine)

    monkeypatch.setattr(asyncio.Runner, "run", ring_then_begin)
    AsyncScript.job = awaits
    began = time.monotonic()
    assert kind(run(bench)) == "TimedOut"
    assert time.monotonic() - began < 30


def test_in_a_thread_its_loop_ends_it(bench: Bench) -> None:
    for work in (awaits, swallows):
        AsyncScript.job = work
        row = bench.dispatch("async_once")
        message = JobMessage.about(row)
        thread = threading.Thread(
            target=lambda message=message: execution.run(
                message, deadline=clock.now() + 1000, send=bench.send
            )
        )
        thread.start()
        thread.join(60)
        assert not thread.is_alive()
        assert kind(bench.read(row)) == "TimedOut"


def test_what_it_leaves_running_is_canceled_and_its_result_stands(bench: Bench) -> None:
    canceled = []

    async def child() -> None:
        try:
            await asyncio.sleep(LONG)
        except asyncio.CancelledError:
            canceled.append(True)
            raise

    async def work(job: RunningJob, payload: Sample) -> str:
        work.child = asyncio.create_task(child())  # type: ignore[attr-defined]
        await asyncio.sleep(0)
        return "done"

    AsyncScript.job = work
    assert run(bench).status is Status.SUCCEEDED
    assert canceled == [True]


def test_what_a_task_fails_of_as_its_job_ends_is_logged(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """And of those that end as they are asked to nothing is said."""
    kept: list[asyncio.Task[None]] = []

    async def fails() -> None:
        try:
            await asyncio.sleep(LONG)
        finally:
            raise ValueError("no luck")

    async def returns() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(LONG)

    async def work(job: RunningJob, payload: Sample) -> str:
        kept.extend(map(asyncio.create_task, (fails(), returns(), awaits(job, payload))))
        await asyncio.sleep(0)
        return "done"

    AsyncScript.job = work
    assert run(bench).status is Status.SUCCEEDED
    (logged,) = [each for each in caplog.records if each.name == "asyncio"]
    assert "a task failed as its job ended" in logged.getMessage()
    assert logged.exc_info
    assert str(logged.exc_info[1]) == "no luck"
