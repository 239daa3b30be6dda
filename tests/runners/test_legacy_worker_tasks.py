"""Tasks that a job dispatches in the worker process of the legacy runner."""

import io
import threading
from typing import Any

import pytest

from bench import Bench
from job_runners import clock
from job_runners.aws import clients
from job_runners.engine.running import execution
from job_runners.engine.telemetry import telemetry
from job_runners.engine.wire.messages import JobMessage, TaskMessage, encode
from job_runners.runners import legacy_worker
from job_runners.store.job_request import DUE_SHARDS, JobRequest, Status
from sample_work import Sample, script
from telemetry_lines import logged


def test_they_run_where_they_are_dispatched_and_their_retries_after_the_job(
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
    legacy_worker._run_child(encode(JobMessage.about(row)), clock.now() + 900_000)
    assert ran == ["task", "job", "task", "task"]
    assert bench.read(row).status is Status.SUCCEEDED


def test_one_that_there_is_no_time_for_is_logged_as_failed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("signal.signal", lambda *_: None)
    failed: list[str] = []
    monkeypatch.setattr(
        "job_runners.engine.telemetry.telemetry.task_failed",
        lambda message, error: failed.append(message.name),
    )
    tasks = legacy_worker._TaskRunner(clock.now() + 60_000)
    tasks.send(TaskMessage(id="t", name="sample_note", payload={}), delay=30)
    bench.advance(61)  # what came before it took longer than it was thought to
    tasks.run_delayed()
    assert failed == ["sample_note"]
    assert not script.tasks_run


def test_none_is_behind_a_cursor_that_says_it_is_done(bench: Bench) -> None:
    """Whenever the child is killed: what it has dispatched has run."""

    def work(job: Any, payload: object) -> None:
        for number in range(10):
            job.dispatch_task("sample_note", {"number": number})
            job.checkpoint(number + 1)
            ran.append(len(script.tasks_run))

    ran: list[int] = []
    script.job = work
    run(bench, bench.dispatch("sample_once"))
    assert ran == list(range(1, 11))


def test_a_task_leaves_the_fields_of_its_jobs_log_lines_alone(
    bench: Bench, lines: io.StringIO
) -> None:
    def work(job: Any, payload: object) -> None:
        job.dispatch_task("sample_note", {})
        telemetry.logger.warning("after it")

    script.job = work
    row = bench.dispatch("sample_once")
    run(bench, row)
    (after,) = (line for line in logged(lines) if line["message"] == "after it")
    assert (after["job_id"], after["attempt"]) == (row.id, 1)
    assert "task_name" not in after


def run(bench: Bench, row: JobRequest) -> None:
    """Run the job as its child would, without the child."""
    deadline = clock.now() + 900_000
    send = legacy_worker._TaskRunner(deadline).send
    execution.run(JobMessage.about(row), deadline=deadline, send=send)


def test_of_a_backlog_the_worker_process_reads_a_few_rows_at_a_time(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(60):
        bench.dispatch()
    stop, read = threading.Event(), 0

    def count(parsed: dict[str, Any], **_: Any) -> None:
        nonlocal read
        stop.set()
        read += parsed["Count"]

    clients.client("dynamodb").meta.events.register("after-call.dynamodb.Query", count)
    monkeypatch.setattr(legacy_worker, "_ROWS_PER_PAGE", 2)
    monkeypatch.setattr(legacy_worker, "_run_in_child", lambda *_: None)
    legacy_worker.work(stop)
    assert 0 < read <= 2 * 2 * DUE_SHARDS
