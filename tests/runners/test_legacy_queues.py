"""Queues with limits in the worker process of the legacy runner, which is sent no messages."""

from typing import Any

from bench import Bench
from job_runners import clock
from job_runners.engine.running import execution
from job_runners.engine.tick import timer
from job_runners.engine.wire.messages import Message, QueueMessage
from job_runners.runners import legacy, legacy_worker
from job_runners.store import conditional_write, limits
from job_runners.store.job_request import JobRequest, Status
from job_runners.store.rate import Rate
from limited_queue import QUEUE, dispatch, during, hold_in_order
from sample_work import script


def poll_for(bench: Bench, seconds: int) -> None:
    """Have the worker process look each second; a job runs where it would run in a child."""

    def in_child(message: Message) -> None:
        tasks = legacy_worker._TaskRunner(clock.now() + 900_000)
        execution.run(message, deadline=clock.now() + 900_000, send=tasks.send)

    run = legacy_worker.sender(in_child)
    for _ in range(seconds):
        while timer.send_next(run, early_by=conditional_write.GRACE, page_size=25)[
            timer.Disposition.SENT
        ]:
            pass
        bench.advance(1)


def test_the_worker_process_keeps_a_rate(still: Bench) -> None:
    limits.put("a", rate=Rate(1, seconds=5))
    starts: list[int] = []

    def work(job: Any, payload: object) -> None:
        starts.append(clock.now())

    script.job = work
    rows = [still.dispatch("sample_once", queue_name="a") for _ in range(4)]
    began = clock.now()
    poll_for(still, 30)
    assert all(still.read(row).status is Status.SUCCEEDED for row in rows)
    assert [(start - began) // 1000 for start in starts] == [0, 5, 10, 15]


def test_the_worker_process_admits_who_waits_for_a_slot(still: Bench) -> None:
    """That somebody else holds: a process beside it."""
    limits.put("a", slots=1)
    rows: list[JobRequest] = []

    def work(job: Any, payload: object) -> None:
        if not rows:
            rows.append(still.dispatch("sample_once", queue_name="a"))
            assert still.run(rows[0]).status is Status.WAITING
            still.sent.clear()

    script.job = work
    first = still.dispatch("sample_once", queue_name="a")
    poll_for(still, 3)
    assert still.read(first).status is Status.SUCCEEDED
    assert still.read(rows[0]).status is Status.SUCCEEDED


def test_who_waits_in_a_line_is_left_to_the_worker_process_for_when_it_may_go_on(
    still: Bench,
) -> None:
    """A process that serves requests runs no jobs: a wake-up that it sends wakes nobody there."""
    limits.put(QUEUE, slots=1)
    row = dispatch(still)

    def send_wake_up() -> None:
        hold_in_order(still, row)
        legacy.send(QueueMessage(QUEUE, "*"), 60)
        assert still.read(row).due_at == clock.now() + clock.MINUTE

    assert during(still, send_wake_up).status is Status.SUCCEEDED
