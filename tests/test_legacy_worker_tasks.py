"""Tasks that a job dispatches in the worker process of the legacy runner."""

from typing import Any

import pytest

from bench import Bench
from runners import execution, legacy_worker
from runners.messages import JobMessage, encode
from sample_work import Sample, script
from store import clock
from store.job_request import Status


def test_they_run_after_the_job_in_its_child_with_their_retries(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", bench.advance)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    ran: list[str] = []

    def work(job: Any, payload: object) -> None:
        job.dispatch_task("sample_note_again", {"number": 7})
        ran.append("job")

    def task(payload: Sample) -> None:
        ran.append("task")
        if ran.count("task") < 3:
            raise ValueError("no luck")

    script.job, script.task = work, task
    row = bench.dispatch("sample_once")
    legacy_worker._child(encode(JobMessage.about(row)), clock.now() + 900_000)
    assert ran == ["job", "task", "task", "task"]
    assert bench.read(row).status is Status.SUCCEEDED


def test_one_that_there_is_no_time_for_is_logged_as_failed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("signal.signal", lambda *_: None)
    failed: list[str] = []
    monkeypatch.setattr(
        "runners.log.task_failed", lambda message, error: failed.append(message.name)
    )
    script.job = lambda job, payload: job.dispatch_task("sample_note", {})
    tasks = legacy_worker._Tasks()
    row = bench.dispatch("sample_once")
    execution.run(JobMessage.about(row), deadline=clock.now() + 900_000, send=tasks.send)
    tasks.run(deadline=0)
    assert failed == ["sample_note"]
    assert not script.tasks_run
