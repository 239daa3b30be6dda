"""`async def` jobs and tasks: they run as they are, where others do, and leave nothing behind."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from typing import Any

import pytest

from async_bench import LONG, kind, run
from async_work import AsyncScript
from bench import Bench
from job_runners import clock
from job_runners.engine.running import execution
from job_runners.engine.wire.messages import TaskMessage
from job_runners.engine.wire.sending import CANNOT_SEND
from job_runners.places import ROOT
from job_runners.store import blobs
from job_runners.store.job_request import JobRequest, Status
from job_runners.work import Job, RunningJob, definitions
from sample_work import Sample

pytestmark = pytest.mark.usefixtures("async_bench")


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
    [own] = [each for each in row.error["traceback"].splitlines() if each.startswith("  File ")][1:]
    assert own.startswith('  File "tests/engine/running/test_async_work.py", line ')
    assert "another exception" not in row.error["traceback"]  # such as that no loop had run


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
    thread = threading.Thread(
        target=lambda: execution.run(message, deadline=until, send=CANNOT_SEND)
    )
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


def test_there_an_error_is_its_own_too(bench: Bench) -> None:
    async def work(job: RunningJob, payload: Sample) -> None:
        raise ValueError("no luck")

    AsyncScript.job = work

    async def outside() -> JobRequest:
        return run(bench)

    assert kind(asyncio.run(outside())) == "ValueError"


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


def test_the_event_loop_is_imported_with_the_function_and_for_async_ones_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While a job runs, its alarm might interrupt the import."""

    async def work(job: RunningJob, payload: Sample) -> None: ...

    def other(job: RunningJob, payload: Sample) -> None: ...

    imported: list[str] = []
    monkeypatch.setattr(definitions, "import_module", imported.append)
    Job(other)
    assert imported == []
    Job(work)
    assert imported == ["job_runners.work.event_loop"]


def test_other_work_does_without_asyncio() -> None:
    program = (
        "import sys; from job_runners.engine.registry.registry import registry\n"
        "job = registry().job('post_webhook'); registry().load(job)\n"
        "print('job_runners.work.event_loop' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "JOBS_PACKAGES": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "False"
