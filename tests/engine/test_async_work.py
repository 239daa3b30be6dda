"""`async def` jobs and tasks: they run as they are, end as others do, and leave nothing behind."""

import asyncio
import contextlib
import gc
import inspect
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import clock
from async_work import AsyncScript
from bench import Bench
from runners import execution, pausing
from runners.messages import JobMessage, TaskMessage
from sample_work import Sample
from store import blobs, owner_verbs, verbs
from store.job_request import JobRequest, Status
from store.pauses import Kind
from testing.aws import forget
from tools.build import ROOT
from work import RunningJob, event_loop

LONG = 60.0  # seconds; nothing here may take so long


@pytest.fixture(autouse=True)
def extension(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("EXTENSIONS", "sample_work,async_work")
    forget()
    others = open_loops()
    yield
    gc.collect()
    assert [each for each in open_loops() if each not in others] == []


def open_loops() -> list[asyncio.AbstractEventLoop]:
    """Return every event loop that is not closed: a browser that other tests drive has some."""
    # By type: isinstance would ask what a weak reference stands for, which may be gone.
    loops = [each for each in gc.get_objects() if issubclass(type(each), asyncio.AbstractEventLoop)]
    return [each for each in loops if not each.is_closed()]


def run(bench: Bench, job_type: str = "async_once", seconds: float = 900) -> JobRequest:
    return bench.run(bench.dispatch(job_type, payload={"number": 7}), seconds)


def kind(row: JobRequest) -> str:
    assert row.error is not None
    return str(row.error["kind"])


def test_it_gets_its_payload_and_its_result_is_kept(bench: Bench) -> None:
    async def work(job: RunningJob, payload: Sample) -> Any:
        await asyncio.sleep(0)
        job.checkpoint(3, progress=50, message="half", durable=True)
        return {"number": payload.number, "step": job.step("one", lambda: "done")}

    AsyncScript.job = work
    row = run(bench)
    assert (row.status, row.progress, row.result_message) == (Status.SUCCEEDED, 100, "half")
    assert blobs.get(row.result, row.result_key) == {"number": 7, "step": "done"}


def test_an_error_is_recorded_and_tried_again(bench: Bench) -> None:
    async def work(job: RunningJob, payload: Sample) -> None:
        await asyncio.sleep(0)
        raise ValueError("no luck")

    AsyncScript.job = work
    row = run(bench, "async_again")
    assert (row.status, row.attempt, kind(row)) == (Status.RETRYABLE, 2, "ValueError")
    assert row.error is not None
    assert "raise ValueError" in row.error["traceback"]


def test_errors_of_a_group_are_told_as_what_they_are(bench: Bench) -> None:
    async def fail() -> None:
        raise ValueError("no luck")

    async def work(job: RunningJob, payload: Sample) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())

    AsyncScript.job = work
    row = run(bench)
    assert kind(row) == "ExceptionGroup"
    assert row.error is not None
    assert "no luck" in row.error["traceback"]


# --- the end of its time --------------------------------------------------------------------------


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
    assert time.monotonic() - began < 5
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


def test_an_alarm_in_the_loops_own_code_leaves_no_task_half_run(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when it has taken what it calls next off its list, and has not called it yet."""
    done = []
    call = asyncio.Handle._run

    def ring_then_call(handle: asyncio.Handle) -> None:
        monkeypatch.setattr(asyncio.Handle, "_run", call)
        signal.raise_signal(signal.SIGALRM)
        call(handle)

    async def work(job: RunningJob, payload: Sample) -> None:
        monkeypatch.setattr(asyncio.Handle, "_run", ring_then_call)
        try:
            await asyncio.sleep(0)
            await asyncio.sleep(LONG)
        finally:
            await asyncio.sleep(0)
            done.append(True)

    AsyncScript.job = work
    assert kind(run(bench)) == "TimedOut"
    assert done == [True]


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
    assert time.monotonic() - began < 5


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
        thread.join(6)
        assert not thread.is_alive()
        assert kind(bench.read(row)) == "TimedOut"


def test_what_it_leaves_running_is_cancelled_and_its_result_stands(bench: Bench) -> None:
    cancelled = []

    async def child() -> None:
        try:
            await asyncio.sleep(LONG)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    async def work(job: RunningJob, payload: Sample) -> str:
        work.child = asyncio.create_task(child())  # type: ignore[attr-defined]
        await asyncio.sleep(0)
        return "done"

    AsyncScript.job = work
    assert run(bench).status is Status.SUCCEEDED
    assert cancelled == [True]


# --- what ends it at a checkpoint -----------------------------------------------------------------


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
@pytest.mark.parametrize("what", ["cancelled", "paused", "claim lost", "leg over"])
def test_what_ends_a_job_reaches_it_from_any_task(where: Any, what: str, bench: Bench) -> None:
    row = bench.dispatch("async_again")

    def report(job: RunningJob) -> None:
        match what:
            case "cancelled":
                owner_verbs.request_cancel(bench.read(row))
            case "paused":
                pausing.pause(Kind.JOB_TYPE, "async_again")
            case "claim lost":
                verbs.fail(bench.read(row), {"kind": "x", "message": "x"})
            case "leg over":
                bench.advance(850)
        job.checkpoint(5, progress=10, durable=True)

    async def work(job: RunningJob, payload: Sample) -> None:
        await where(job, lambda: report(job))

    AsyncScript.job = work
    began = time.monotonic()
    found = bench.run(row)
    assert time.monotonic() - began < 5
    expected = {
        "cancelled": Status.CANCELLED,
        "paused": Status.WAITING,
        "claim lost": Status.FAILED,
        "leg over": Status.QUEUED,
    }
    assert found.status is expected[what]
    assert found.attempt == 1
    if what in ("paused", "leg over"):
        assert found.cursor == 5


def test_it_may_clean_up_when_its_leg_is_over(bench: Bench) -> None:
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
    assert told == ["ClaimLost"]


# --- tasks, and where it runs ---------------------------------------------------------------------


def test_a_task_runs_too_and_is_tried_again(bench: Bench) -> None:
    seen = []

    async def work(payload: Sample) -> None:
        await asyncio.sleep(0)
        seen.append(payload.number)
        raise ValueError("no luck")

    AsyncScript.task = work
    message = TaskMessage(id="t", name="async_note", payload={"number": 3})
    execution.run(message, deadline=clock.now() + 60_000, send=bench.send)
    assert seen == [3]
    assert [(each.id, each.attempt) for each in bench.sent_tasks] == [("t", 2)]


def test_a_task_runs_in_a_thread_as_well(bench: Bench) -> None:
    seen = []

    async def work(payload: Sample) -> None:
        await asyncio.sleep(0)
        seen.append(payload.number)

    AsyncScript.task = work
    message = TaskMessage(id="t", name="async_note", payload={"number": 3})
    until = clock.now() + 60_000
    thread = threading.Thread(target=lambda: execution.run(message, deadline=until, send=None))
    thread.start()
    thread.join()
    assert seen == [3]


def test_it_runs_where_a_loop_runs_already(bench: Bench) -> None:
    async def work(job: RunningJob, payload: Sample) -> str:
        await asyncio.sleep(0)
        return "done"

    AsyncScript.job = work

    async def outside() -> JobRequest:
        return run(bench)

    assert asyncio.run(outside()).status is Status.SUCCEEDED


def test_ctrl_c_is_recorded_and_goes_on_to_the_process(bench: Bench) -> None:
    async def work(job: RunningJob, payload: Sample) -> None:
        signal.raise_signal(signal.SIGINT)
        await asyncio.sleep(LONG)

    AsyncScript.job = work
    row = bench.dispatch("async_once")
    with pytest.raises(KeyboardInterrupt):
        bench.run(row)
    assert kind(bench.read(row)) == "KeyboardInterrupt"


def test_so_it_is_when_the_job_is_about_to_end(bench: Bench) -> None:
    async def work(job: RunningJob, payload: Sample) -> None:
        bench.advance(850)
        try:
            job.checkpoint(5)
        finally:
            signal.raise_signal(signal.SIGINT)
            await asyncio.sleep(LONG)

    AsyncScript.job = work
    with pytest.raises(KeyboardInterrupt):
        run(bench)


def test_other_work_does_without_asyncio() -> None:
    program = (
        "import sys; from runners.registry import registry\n"
        "job = registry().job('post_webhook'); registry().load(job)\n"
        "print('work.event_loop' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "EXTENSIONS": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "False"
