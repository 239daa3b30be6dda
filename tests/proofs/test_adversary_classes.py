"""Worker classes under a hostile Lambda: each safeguard of their routing is needed."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from broken_promise import broken_promise
from histories.faults import Fault
from histories.history import History, play_seed, simulated_aws
from histories.simulated_work import Steps
from job_runners.engine.wire.messages import JobMessage, TaskMessage
from job_runners.runners import lambda_async
from job_runners.runners.base import JobData
from job_runners.settings import settings
from sizes import by_size

ALONE = frozenset({Fault.CLASSES})


@pytest.fixture(autouse=True)
def on_stage(environment: None) -> Iterator[None]:
    with simulated_aws():
        yield


def test_with_several_codes_and_missing_functions_no_promise_is_broken() -> None:
    figures: Counter[str] = Counter()
    for seed in range(by_size(60, 600, 2_000)):
        figures += play_seed(seed, ALONE)
    assert figures["missing classes"] > 5
    assert figures["other classes"] > 100
    assert (figures["lost"], figures["doubled"], figures["tasks lost"]) == (0, 0, 0)


def forgets(kind: type) -> Callable[..., Any]:
    """Return a forward that drops messages of a kind."""
    forward = lambda_async.forward

    def forget(message: Any, function: str) -> bool:
        is_of_class = lambda_async.worker_class_of(message) is not None
        if isinstance(message, kind) and is_of_class and not settings().worker_class:
            return True
        return forward(message, function)

    return forget


def test_it_notices_when_a_task_is_not_forwarded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lambda_async, "forward", forgets(TaskMessage))
    assert "was accepted and never ended" in broken_promise(counted="tasks lost", faults=ALONE)


def test_it_notices_when_a_task_runs_here_too(monkeypatch: pytest.MonkeyPatch) -> None:
    forward = lambda_async.forward
    monkeypatch.setattr(lambda_async, "forward", lambda *given: forward(*given) and False)
    assert "ran more often than it was delivered" in broken_promise(faults=ALONE)


def test_it_notices_when_a_class_forwards(monkeypatch: pytest.MonkeyPatch) -> None:
    def forward(message: Any, function: str) -> bool:
        if isinstance(message, JobMessage) or lambda_async.worker_class_of(message) is None:
            return False
        if lambda_async.worker_class_of(message) == settings().worker_class:
            return False
        lambda_async.sender(function)(message)
        return True

    monkeypatch.setattr(lambda_async, "forward", forward)
    assert "was forwarded by the class" in broken_promise(faults=ALONE, near=25)


def test_it_notices_when_a_task_of_a_missing_class_does_not_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lambda_async, "_DEPLOY_SECONDS", 0)
    monkeypatch.setattr(lambda_async, "_put_on_delay_queue", lambda message, seconds: None)
    assert "was accepted and never ended" in broken_promise(
        counted="tasks lost", faults=ALONE, near=10
    )


def test_a_worker_with_more_time_gives_a_job_back_for_longer() -> None:
    """It gives up in the last quarter of its time, with a pause before that."""
    answers = {"no answer": 79, "a storm at a call": 59, "how it fails": 2, "how long it fails": 3}
    faults = {Fault.CLASSES, Fault.NO_ANSWER, Fault.STORM}

    def choose(what: str, _n: int) -> int:
        is_claimed = any(row["status"] == "running" for row in history.checker.rows.values())
        return answers.pop(what, 0) if is_claimed else 0

    with History(choose, faults) as history:
        payload = Steps(request="0")
        history.payloads["0"] = [payload]
        data = JobData(job_type="hostile_again", payload=payload.model_dump())
        history.world.invoke("api", lambda: history._accept(data))
        history.world._deliver_ready()
        assert not answers
        history.end()
