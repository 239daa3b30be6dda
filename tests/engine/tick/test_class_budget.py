"""The timer's messages by worker class: a class whose workers are blocked delays no other one."""

from typing import Any

import pytest

from bench import Bench
from job_runners import clock
from job_runners.aws import clients
from job_runners.engine.tick import due_index, timer
from job_runners.engine.tick.timer import Disposition
from job_runners.store import queries, transitions
from job_runners.store.conditional_write import GRACE
from job_runners.testing.aws import forget
from sizes import by_size


@pytest.fixture
def classes(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Return a bench of a stack with two worker classes, of which two messages each may wait."""
    monkeypatch.setenv("JOBS_PACKAGES", "class_work")
    monkeypatch.setenv("WORKER_CLASSES", "large,tiny")
    forget()
    monkeypatch.setattr(timer, "MAX_UNCLAIMED", 2)
    return bench


def dispatch(bench: Bench, *job_types: str) -> list[str]:
    """Dispatch jobs whose messages are lost, and return their ids."""
    return [bench.dispatch(each, payload={}).id for each in job_types]


def take_sent(bench: Bench) -> list[str]:
    sent = bench.sent_jobs
    bench.sent.clear()
    return sent


def test_a_blocked_class_delays_no_lost_message_of_another(classes: Bench) -> None:
    blocked = dispatch(classes, *["large"] * 6)
    classes.advance(61)
    assert classes.tick().counts == {Disposition.SENT: 2, Disposition.DEFERRED: 4}
    assert take_sent(classes) == blocked[:2]
    others = dispatch(classes, "tiny", "default")
    classes.advance(70)
    classes.tick()
    assert sorted(take_sent(classes)) == sorted([*blocked[:2], *others])  # the first ones again


def test_each_class_has_as_many_messages_and_no_more(classes: Bench) -> None:
    blocked = dispatch(classes, *["large"] * 6)
    classes.advance(61)
    classes.tick()
    take_sent(classes)
    others = dispatch(classes, *["tiny"] * 3, *["default"] * 3)
    classes.advance(70)
    counts = classes.tick().counts
    assert sorted(take_sent(classes)) == sorted(blocked[:2] + others[:2] + others[3:5])
    assert counts[Disposition.DEFERRED] == 2
    classes.advance(10)
    classes.tick()
    assert take_sent(classes) == []


def test_the_backlog_of_another_class_is_sent_past_that_of_a_blocked_one(classes: Bench) -> None:
    """Its rows come after those of the blocked class."""
    dispatch(classes, *["large"] * 6)
    classes.advance(61)
    classes.tick()
    others = dispatch(classes, *["tiny"] * 4)
    classes.advance(70)
    classes.tick()
    assert take_sent(classes)[-2:] == others[:2]
    for each in others[:2]:
        classes.run(classes.read(each))  # a worker claims them
    classes.advance(10)
    classes.tick()
    assert take_sent(classes) == others[2:]


def test_a_class_that_is_free_again_gets_its_backlog(classes: Bench) -> None:
    blocked = dispatch(classes, *["large"] * 6)
    classes.advance(61)
    for _ in range(4):
        classes.tick()
        classes.deliver()
        classes.advance(1)
    assert {classes.read(each).status for each in blocked} == {"succeeded"}


def test_without_classes_no_row_is_read_for_its_type(
    classes: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def batches(classes_of_stack: str) -> int:
        monkeypatch.setenv("WORKER_CLASSES", classes_of_stack)
        forget()
        calls: list[Any] = []
        clients.client("dynamodb").meta.events.register(
            "before-call.dynamodb.BatchGetItem", lambda **call: calls.append(call)
        )
        dispatch(classes, *["large"] * 6)
        for _ in range(2):  # the first leaves a backlog
            classes.advance(61)
            classes.tick()
        return len(calls)

    assert batches("") == 0
    assert batches("large,tiny") > 0


def test_messages_of_this_run_count_though_the_index_lags_behind(
    classes: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due_index, "unclaimed_ids", lambda most: [])
    dispatch(classes, *["large"] * 6)
    classes.advance(61)
    assert classes.tick().counts == {Disposition.SENT: 2, Disposition.DEFERRED: 4}


def test_types_that_can_not_be_read_end_no_run(
    classes: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(ids: list[str]) -> dict[str, str]:
        raise TimeoutError("no answer")

    monkeypatch.setattr(queries, "job_types", fail)
    dispatch(classes, *["large"] * 6)
    classes.advance(61)
    classes.tick()
    assert len(take_sent(classes)) >= 2
    other = dispatch(classes, "tiny")
    classes.advance(61)
    classes.tick()
    assert other[0] in take_sent(classes)


def test_ten_thousand_jobs_of_a_blocked_class_delay_no_lost_message_of_another(
    classes: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = by_size(1_000, 10_000, 10_000)
    monkeypatch.setattr(timer, "MAX_UNCLAIMED", count // 10)
    monkeypatch.setattr(timer, "_MAX_ROWS", 3 * count // 10)
    save(count, "large")
    ticks = 0
    classes.advance(61)
    while classes.tick().counts[Disposition.DEFERRED]:
        ticks += 1
        take_sent(classes)
        assert ticks < 10
    lost = [*save(3, "tiny"), *save(3, "default")]
    classes.advance(GRACE / clock.SECOND + 1)
    classes.tick()
    assert set(lost) <= set(take_sent(classes))


def save(count: int, job_type: str) -> list[str]:
    """Save jobs as a dispatch does, and lose their messages."""
    new = transitions.NewJob(job_type, "default", "acme", payload={}, max_attempts=3)
    return [transitions.save(new).after.id for _ in range(count)]
