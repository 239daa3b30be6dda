"""A bench for jobs and tasks that are `async def`."""

import asyncio
import gc
from collections.abc import Iterator

import pytest

from bench import Bench
from job_runners.store.job_request import JobRequest
from job_runners.testing.aws import forget

LONG = 60.0  # seconds; nothing here may take so long


@pytest.fixture
def async_bench(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """Return a bench for async work, which must leave no event loop open.

    As in a worker, no loop runs in this thread: that of a browser's tests, which may have come
    before in this process, is put aside, or each job would run in a thread, where no alarm rings.
    """
    monkeypatch.setenv("EXTENSIONS", "sample_work,async_work")
    forget()
    browsers = asyncio._get_running_loop()
    others = [*open_loops(), browsers]
    asyncio._set_running_loop(None)
    try:
        yield bench
    finally:
        asyncio._set_running_loop(browsers)
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
