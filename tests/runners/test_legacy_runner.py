"""The legacy runner: what runs in this process, and what is left to a worker process beside it."""

import io
import sys
import threading
from collections.abc import Callable

import pytest

from job_runners.aws import clients
from job_runners.runners import get_job_runner, legacy
from job_runners.store import queries
from job_runners.store.job_request import JobRequest, Status
from job_runners.testing.aws import forget
from runner_bench import RunnerBench
from sample_work import script

Choose = Callable[[str], RunnerBench]


@pytest.fixture
def waiting(choose: Choose) -> RunnerBench:
    return choose("legacy, waiting")


def beside_a_worker_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBS_SAME_PROCESS", "false")
    forget()


def dispatch_later(bench: RunnerBench, seconds: float) -> tuple[JobRequest, set[threading.Thread]]:
    """Return the job, and the threads in which it waits."""
    before = set(threading.enumerate())
    row = bench.dispatch(delay=seconds)
    return row, set(threading.enumerate()) - before


def stored(row: JobRequest) -> JobRequest:
    found = queries.read(row.id)
    assert found is not None
    return found


@pytest.mark.parametrize("same_process", [True, False])
def test_tasks_run_here_wherever_jobs_do(
    waiting: RunnerBench, monkeypatch: pytest.MonkeyPatch, same_process: bool
) -> None:
    """Nothing but this process knows of them."""
    if not same_process:
        beside_a_worker_process(monkeypatch)
    row = waiting.dispatch()
    waiting.runner.dispatch_task("sample_note", {"number": 3})
    assert [payload.number for payload in script.tasks_run] == [3]
    assert stored(row).status is (Status.SUCCEEDED if same_process else Status.QUEUED)


def test_a_job_that_is_left_to_a_worker_process_costs_one_write(
    waiting: RunnerBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside_a_worker_process(monkeypatch)
    waiting.dispatch()  # what a process reads of limits, say, it reads once
    calls: list[str] = []
    clients.client("dynamodb").meta.events.register(
        "before-call.dynamodb", lambda model, **_: calls.append(model.name)
    )
    waiting.dispatch()
    assert calls == ["PutItem"]


def test_one_that_has_to_wait_runs_here_when_its_time_has_come(waiting: RunnerBench) -> None:
    row, (waits,) = dispatch_later(waiting, 0.2)
    assert row.status is Status.SCHEDULED
    waits.join(60)
    assert stored(row).status is Status.SUCCEEDED
    assert len(script.jobs_run) == 1


def test_one_that_has_to_wait_for_long_is_left_to_a_worker_process(waiting: RunnerBench) -> None:
    _, threads = dispatch_later(waiting, 1000)
    assert threads == set()


@pytest.mark.parametrize(
    ("jobs", "tasks", "are_done"),
    [("true", "false", (True, False)), ("false", "true", (False, True))],
)
def test_who_dispatches_waits_for_jobs_or_for_tasks_as_it_is_set(
    waiting: RunnerBench,
    monkeypatch: pytest.MonkeyPatch,
    jobs: str,
    tasks: str,
    are_done: tuple[bool, bool],
) -> None:
    monkeypatch.setenv("JOBS_SYNC", jobs)
    monkeypatch.setenv("TASKS_SYNC", tasks)
    forget()
    may_end = threading.Event()
    here, ran = threading.current_thread(), list[str]()

    def work(kind: str) -> None:
        if threading.current_thread() is not here:
            may_end.wait(60)
        ran.append(kind)

    script.job = lambda job, payload: work("job")
    script.task = lambda payload: work("task")
    waiting.dispatch()
    waiting.runner.dispatch_task("sample_note", {})
    assert ("job" in ran, "task" in ran) == are_done
    may_end.set()
    waiting.drain()
    assert sorted(ran) == ["job", "task"]


@pytest.mark.parametrize(
    "settings",
    [
        {"JOBS_SYNC": "true"},
        {"JOBS_SYNC": "false", "JOBS_SAME_PROCESS": "false"},
    ],
)
def test_on_lambda_it_takes_work_if_nothing_of_it_goes_on_after_the_answer(
    aws: None, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str]
) -> None:
    settings = {"AWS_LAMBDA_FUNCTION_NAME": "api", "TASKS_SYNC": "true"} | settings
    for variable, value in settings.items():
        monkeypatch.setenv(variable, value)
    forget()
    assert get_job_runner() is legacy


@pytest.mark.parametrize("function", [None, "api"])
def test_what_work_prints_becomes_lines_of_the_log_where_the_process_is_all_ours(
    waiting: RunnerBench, monkeypatch: pytest.MonkeyPatch, function: str | None, lines: io.StringIO
) -> None:
    if function is not None:
        monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", function)
        forget()
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    script.job = lambda job, payload: sys.stdout.write("dear\n")
    waiting.dispatch()
    assert ("dear" in stream.getvalue().splitlines()) == (function is None)
