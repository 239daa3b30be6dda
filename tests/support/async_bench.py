"""A bench for jobs and tasks that are `async def`."""

import asyncio
import gc
from asyncio import BaseEventLoop
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
    monkeypatch.setenv("PROJECT_PACKAGES", "sample_work,async_work")
    forget()
    made: list[asyncio.AbstractEventLoop] = []
    init = BaseEventLoop.__init__

    def noted(loop: BaseEventLoop) -> None:
        init(loop)
        made.append(loop)

    monkeypatch.setattr(BaseEventLoop, "__init__", noted)
    gc.freeze()  # so that the collection below looks at the objects of this test alone
    browsers = asyncio._get_running_loop()
    asyncio._set_running_loop(None)
    try:
        yield bench
    finally:
        asyncio._set_running_loop(browsers)
    gc.collect()  # asyncio logs a task that is destroyed: here, and not in a later test
    assert [each for each in made if not each.is_closed()] == []


def run(bench: Bench, job_type: str = "async_once", seconds: float = 900) -> JobRequest:
    return bench.run(bench.dispatch(job_type, payload={"number": 7}), seconds)


def kind(row: JobRequest) -> str:
    assert row.error is not None
    return str(row.error["kind"])
