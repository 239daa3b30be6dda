"""Tasks in a worker's process: what they enqueue, signals, schedules, connections and timeouts."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache import caches
from django.db import connection, transaction
from django.tasks import TaskResult, default_task_backend, signals

from job_runners.testing.hostile import Hostile
from job_runners.testing.job_runner import InlineRunner
from job_runners.testing.saved_jobs import assert_failed, assert_succeeded

Seen = list[tuple[str, str, int]]


@pytest.fixture
def tasks(site: None) -> Any:
    from bakery import tasks

    return tasks


@pytest.fixture
def seen(site: None) -> Iterator[Seen]:
    """Yield what the signals bring: their name, the result's status, and its attempts."""
    found: Seen = []

    def note(name: str) -> Any:
        def receive(sender: type, task_result: TaskResult, **_: Any) -> None:
            found.append((name, str(task_result.status), task_result.attempts))
            if name == "finished":
                raise ConnectionError("the receiver of this test always fails")

        return receive

    every = {
        "enqueued": signals.task_enqueued,
        "started": signals.task_started,
        "finished": signals.task_finished,
    }
    receivers = {name: note(name) for name in every}
    for name, signal in every.items():
        signal.connect(receivers[name])
    yield found
    for name, signal in every.items():
        signal.disconnect(receivers[name])


def marks() -> list[str]:
    from bakery.models import Mark

    return sorted(Mark.objects.values_list("text", flat=True))


# --- what a task enqueues -------------------------------------------------------------------------


def test_a_task_enqueues_others_once_whatever_happens(hostile: Hostile, tasks: Any) -> None:
    tasks.effects = hostile.effects
    call = enqueued_call(tasks.parent)
    report = hostile.run("django_task", call)
    # A child that is killed is run again, and repeats its effect under the id of its job. So an
    # effect that happens twice is one of two jobs, where there should be one.
    assert report.done_twice == []
    assert {tuple(sorted(play.effects)) for play in report.plays} == {("a", "a", "b")}
    assert len(report.plays) > 20
    assert all(play.has_succeeded for play in report.plays), report
    # The same fixture finds effects that happen twice.
    assert hostile.run("django_task", enqueued_call(tasks.hasty)).done_twice == ["x"]


def enqueued_call(task: Any) -> dict[str, Any]:
    """Return the payload of a job that calls a task."""
    from job_runners.django.calls import build_call

    return build_call(task, (), {}, sign=True)


def test_the_jobs_of_a_task_have_its_organization_unless_it_names_another(
    job_runner: InlineRunner, tasks: Any
) -> None:
    parent = job_runner.run(
        "django_task", enqueued_call(tasks.enqueue_for), organization_id="zebra"
    )
    own, other = assert_succeeded(parent)
    from job_runners.store import queries

    organizations = [getattr(queries.read(each), "organization_id", None) for each in (own, other)]
    assert organizations == ["zebra", "horse"]


# --- signals --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("mark", ["x"], [("started", "RUNNING", 1), ("finished", "SUCCESSFUL", 1)]),
        ("fail", [], [("started", "RUNNING", 1), ("finished", "FAILED", 1)]),
        ("give_up", [], [("started", "RUNNING", 1), ("finished", "FAILED", 1)]),
        (
            "flaky",
            [2],
            [("started", "RUNNING", 1), ("started", "RUNNING", 2), ("finished", "SUCCESSFUL", 2)],
        ),
    ],
)
def test_each_attempt_is_started_and_only_the_end_is_finished(
    job_runner: InlineRunner,
    tasks: Any,
    seen: Seen,
    name: str,
    arguments: list[Any],
    expected: Seen,
) -> None:
    result = getattr(tasks, name).enqueue(*arguments)
    assert seen == [("enqueued", "READY", 0)]
    job_runner.drain()
    assert seen[1:] == expected
    result.refresh()
    assert str(result.status) == expected[-1][1]  # although a receiver of task_finished fails


def test_a_task_that_asks_for_a_deploy_is_not_finished(
    job_runner: InlineRunner, tasks: Any, seen: Seen
) -> None:
    result = tasks.needs_a_deploy.enqueue()
    job_runner.run_due()
    result.refresh()
    assert (str(result.status), result.attempts) == ("READY", 0)
    assert ("finished", "FAILED", 1) not in seen


def test_a_task_that_takes_too_long_is_interrupted(
    job_runner: InlineRunner, tasks: Any, seen: Seen
) -> None:
    result = tasks.take_long.enqueue()
    begun = time.perf_counter()
    job_runner.drain(seconds=3)
    assert time.perf_counter() - begun < 20
    result.refresh()
    assert (str(result.status), result.attempts) == ("FAILED", 1)
    assert result.errors[0].exception_class.__name__ == "TimedOut"
    assert ("finished", "FAILED", 1) not in seen  # as for a worker that was killed


# --- fixed tasks and schedules --------------------------------------------------------------------


def test_a_type_with_a_fixed_task_needs_no_signature(job_runner: InlineRunner) -> None:
    assert assert_succeeded(job_runner.run("nightly")) == 2
    assert marks() == ["nightly", "nightly"]
    failed = job_runner.run("nightly_twice")
    assert_failed(failed, "Boom")
    assert (failed.attempt, failed.max_attempts) == (2, 2)


def test_a_schedule_runs_a_fixed_task(job_runner: InlineRunner) -> None:
    from job_runners.engine.registry.registry import registry

    assert registry().recurring["nightly"].job_type == "nightly"
    assert registry().jobs["nightly"].retry is None


# --- a task's surroundings ------------------------------------------------------------------------


def test_connections_and_caches_are_closed_after_a_task(
    job_runner: InlineRunner, tasks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[str] = []
    monkeypatch.setattr(caches["default"], "close", lambda **_: closed.append("cache"))
    tasks.leak.enqueue()
    connection.ensure_connection()
    job_runner.drain()
    assert connection.connection is None
    assert closed == ["cache"]


def test_a_task_uses_the_transaction_of_a_test(job_runner: InlineRunner, tasks: Any) -> None:
    with transaction.atomic():
        tasks.mark.enqueue("inside")
        job_runner.drain()
        assert marks() == ["inside"]
        assert connection.connection is not None
        transaction.set_rollback(True)
    assert marks() == []


def test_a_failure_belongs_to_the_code_of_the_task(job_runner: InlineRunner, tasks: Any) -> None:
    result = tasks.fail.enqueue()
    job_runner.drain()
    from job_runners.store import queries

    row = queries.read(result.id)
    assert row is not None
    assert row.error["frame"] == "bakery.tasks:fail"
    first, *_ = (line for line in row.error["traceback"].splitlines() if "  File " in line)
    assert "bakery/tasks.py" in first


def test_the_backend_of_a_worker_is_the_engine(job_runner: InlineRunner) -> None:
    assert type(default_task_backend.transport).__name__ == "InProcess"
