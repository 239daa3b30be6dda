"""A tick of which a part fails does the rest; what was lost on its way comes before a backlog; and
a tick that is over asks for nothing more."""

from collections.abc import Callable
from typing import Any, NoReturn

import pytest
from botocore.exceptions import EndpointConnectionError

from bench import Bench
from job_runners import clock
from job_runners.aws import clients
from job_runners.engine.lines import pausing, sweeping
from job_runners.engine.tick import due_row, timer
from job_runners.engine.tick.timer import Disposition
from job_runners.engine.wire.messages import Message
from job_runners.errors import SendFailed
from job_runners.store import conditional_write, limits, pauses, queries
from job_runners.store.job_request import JobRequest
from job_runners.store.pauses import Kind
from limited_queue import QUEUE, dispatch, during, hold_in_order


def away(*_: object, **__: object) -> NoReturn:
    raise EndpointConnectionError(endpoint_url="https://dynamodb")


def send_nothing(message: Message, delay: float = 0) -> None:
    raise SendFailed(message.title, "throttled")


@pytest.mark.parametrize(("room", "name"), [(sweeping, "sweep"), (queries, "count_due")])
def test_what_is_due_is_sent_whatever_else_can_not_be_read(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, room: Any, name: str
) -> None:
    row = bench.dispatch()
    bench.advance(61)
    monkeypatch.setattr(room, name, away)
    assert bench.tick().counts == {Disposition.SENT: 1}
    assert bench.sent_jobs == [row.id]


def test_a_tick_that_can_read_no_shard_has_failed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would look as if nothing were due."""
    monkeypatch.setattr(queries, "due", away)
    with pytest.raises(EndpointConnectionError):
        bench.tick()


def test_a_row_that_can_not_be_read_now_is_not_broken(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = bench.dispatch()
    bench.advance(61)
    with monkeypatch.context() as patch:
        patch.setattr(due_row, "read", away)
        assert bench.tick().counts == {}
    assert bench.read(row).due_at == row.due_at
    assert bench.tick().counts == {Disposition.SENT: 1}


def test_once_the_worker_can_not_be_reached_no_more_is_read(bench: Bench) -> None:
    for _ in range(3):
        bench.dispatch(delay=1000)
    bench.advance(1001)
    asked: list[str] = []

    def send(message: Message, delay: float = 0) -> None:
        asked.append("send")
        send_nothing(message)

    clients.client("dynamodb").meta.events.register(
        "before-call.dynamodb.Query", lambda **_: asked.append("query")
    )
    tick = timer.tick(send, until=clock.now() + clock.MINUTE)
    assert (tick.send_failures, tick.counts) == (3, {})
    assert asked[-1] == "send"


def test_of_more_than_a_tick_can_meet_those_that_go_meanwhile_are_not_missed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its look at the oldest and that at the newest, workers have ended most of them."""
    monkeypatch.setattr(timer, "_MAX_ROWS", 3)
    rows = [bench.dispatch() for _ in range(3)]
    bench.advance(61)
    due = queries.due

    def due_meanwhile(*asked: Any, **how: Any) -> Any:
        if how.get("newest_first"):
            for row in rows[1:]:
                row.delete()
        return due(*asked, **how)

    monkeypatch.setattr(queries, "due", due_meanwhile)
    assert bench.tick().counts == {Disposition.SENT: 1, Disposition.MOVED: 2}


def due(bench: Bench) -> list[JobRequest]:
    rows = []
    for _ in range(3):
        rows.append(bench.dispatch())
        bench.advance(0.01)
    return rows


def let_go(bench: Bench) -> list[JobRequest]:
    pausing.pause(Kind.QUEUE, "a")
    rows = [bench.run(bench.dispatch(queue_name="a")) for _ in range(3)]
    pauses.resume(Kind.QUEUE, "a")
    return rows


@pytest.mark.parametrize(
    ("ready", "done"), [(due, Disposition.SENT), (let_go, Disposition.ADMITTED)]
)
def test_a_worker_process_takes_one_at_a_time(
    bench: Bench, ready: Callable[[Bench], list[JobRequest]], done: Disposition
) -> None:
    """Another may take the next meanwhile; and this one is asked to stop between two."""
    rows = ready(bench)
    for taken in (1, 2, 3):
        counts = timer.send_next(bench.send, early_by=conditional_write.GRACE, page_size=25)
        assert counts == {done: 1}
        assert bench.sent_jobs == [row.id for row in rows[:taken]]


def test_an_admitted_job_whose_message_is_lost_goes_before_a_backlog(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if time passes between any two readings of the clock."""
    now = clock.now

    def later() -> int:
        bench.advance(0.001)
        return now()

    monkeypatch.setattr(clock, "now", later)
    monkeypatch.setattr(timer, "MAX_UNCLAIMED", 2)
    for _ in range(4):
        bench.dispatch()
    bench.advance(30)
    limits.put(QUEUE, slots=1)
    row = dispatch(bench)
    during(bench, lambda: hold_in_order(bench, row))
    bench.advance(31)
    assert bench.tick().counts == {Disposition.SENT: 2, Disposition.DEFERRED: 2}
    bench.sent.clear()
    bench.advance(31)
    assert bench.tick().counts == {Disposition.SENT: 1}
    assert bench.sent_jobs == [row.id]
