"""Tasks under a hostile Lambda: each of their promises is watched, and what keeps it is needed."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from broken_promise import broken_promise
from histories.history import simulated_aws
from job_runners.engine.running import execution, failure_records, retrying
from job_runners.engine.running.retrying import seconds_before_retry
from job_runners.engine.wire.messages import TaskMessage
from job_runners.work.retry import Retry


@pytest.fixture(autouse=True)
def on_stage(environment: None) -> Iterator[None]:
    with simulated_aws():
        yield


def decide_of_tasks(monkeypatch: pytest.MonkeyPatch, rule: Callable[..., Any]) -> None:
    """Let it be decided by this rule whether a task that failed is tried again; a job's
    attempts are decided as ever."""

    def answer(*arguments: Any) -> None:
        with pytest.MonkeyPatch.context() as here:
            here.setattr(retrying, "seconds_before_retry", rule)
            retrying.record_failed_task(*arguments)

    for where in (execution, failure_records):
        monkeypatch.setattr(where, "record_failed_task", answer)


def test_it_notices_when_an_untagged_task_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def once_again(retry: Retry | None, attempt: int, most: int, error: BaseException) -> Any:
        wait = seconds_before_retry(retry, attempt, most, error)
        return 1.0 if retry is None and attempt == 1 else wait

    decide_of_tasks(monkeypatch, once_again)
    assert "was sent again" in broken_promise(near=9)


def test_it_notices_when_a_tagged_task_is_tried_once_too_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def once_more(retry: Retry | None, attempt: int, most: int, error: BaseException) -> Any:
        return seconds_before_retry(retry, attempt, most + 1, error)

    decide_of_tasks(monkeypatch, once_more)
    assert "is in attempt 4 of 3" in broken_promise()


@pytest.mark.parametrize("where", [execution, failure_records])
def test_it_notices_when_a_failed_task_is_not_answered(
    where: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(where, "record_failed_task", lambda *_: None)
    assert "was accepted and never ended" in broken_promise(counted="tasks lost")


def test_it_notices_when_a_worker_tries_a_task_again_by_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run_task = execution.run_task

    def twice(message: TaskMessage, **options: Any) -> None:
        run_task(message, **options)
        run_task(message, **options)

    monkeypatch.setattr(execution, "run_task", twice)
    assert "ran more often than it was delivered" in broken_promise()
