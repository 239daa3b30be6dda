"""A job that needs code which this deploy lacks waits for the next deploy."""

from typing import Any

from bench import Bench
from job_runners.engine.wire.messages import TaskMessage
from job_runners.store.job_request import JobRequest, Status
from job_runners.work import NotDeployed
from sample_work import Sample, script


def lacks_code(job: object, payload: object) -> None:
    raise NotDeployed("acme.reports isn't deployed yet")


def has_code(job: object, payload: object) -> str:
    return "done"


def minutes(bench: Bench, row: JobRequest, number: int, work: Any) -> JobRequest:
    """Run the timer each minute, and what it sends."""
    script.job = work
    for _ in range(number):
        bench.advance(60)
        bench.tick()
        bench.deliver()
    return bench.read(row)


def test_a_job_whose_code_is_not_deployed_runs_after_the_deploy(bench: Bench) -> None:
    row = minutes(bench, bench.dispatch(), 50, lacks_code)
    assert (row.status, row.attempt, row.invocations, row.error) == (Status.QUEUED, 1, 0, None)
    row = minutes(bench, row, 60, has_code)
    assert (row.status, row.attempt) == (Status.SUCCEEDED, 1)


def test_after_an_hour_it_fails_although_it_has_attempts_left(bench: Bench) -> None:
    row = minutes(bench, bench.dispatch("sample_again"), 180, lacks_code)
    assert (row.status, row.attempt, row.max_attempts) == (Status.FAILED, 1, 3)
    assert row.error is not None
    assert row.error["kind"] == "NotDeployed"
    assert row.error["message"] == "acme.reports isn't deployed yet"
    assert "in lacks_code" in row.error["traceback"]
    assert row.finished_at is not None
    assert row.finished_at - row.created_at < 2 * 3_600_000


def test_a_task_that_raises_it_fails_at_once(bench: Bench) -> None:
    def lacks(payload: Sample) -> None:
        raise NotDeployed("not yet")

    script.task = lacks
    message = TaskMessage("t", "sample_note_again", {"number": 1}, 1)
    bench.run_message(message)
    assert len(script.tasks_run) == 1
    assert bench.sent == []
