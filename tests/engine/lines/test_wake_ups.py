"""Wake-ups: who waits for a rate is told when it opens, though the message, or whoever was to send
it, is lost."""

import pytest

from bench import Bench
from job_runners import clock
from job_runners.engine.control import caller_actions
from job_runners.engine.running import execution
from job_runners.engine.tick import timer
from job_runners.engine.wire.messages import Message, QueueMessage
from job_runners.errors import SendFailed
from job_runners.store import limits
from job_runners.store.job_request import JobRequest, Status
from job_runners.store.rate import Rate
from limited_queue import QUEUE, dispatch, wake_ups


def test_a_rate_that_opens_later_than_a_message_can_wait_is_waited_for_in_stages(
    still: Bench,
) -> None:
    limits.put(QUEUE, rate=Rate(1, seconds=2000))
    began = clock.now()
    for row in [dispatch(still) for _ in range(2)]:
        still.run(row)
    delays = []
    while wake_ups(still):
        ((message, delay),) = wake_ups(still)
        delays.append(round(delay))
        still.sent.clear()
        still.advance(delay)
        still.run_message(message)
    assert delays == [900, 900, 200]
    assert clock.now() - began <= 2_001_000
    assert len(still.sent_jobs) == 1


def test_who_comes_while_a_line_is_paced_sends_no_second_wake_up(
    still: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each wake-up goes on for as long as somebody waits: they would become ever more."""
    limits.put(QUEUE, rate=Rate(1))
    for row in [dispatch(still) for _ in range(5)]:
        still.run(row)
    ((message, delay),) = wake_ups(still)
    still.sent.clear()
    still.advance(delay)

    def arrive(seconds: float) -> None:
        still.advance(seconds)
        if len(arrived) < 20:
            arrived.append(still.run(dispatch(still)))

    arrived: list[JobRequest] = []
    monkeypatch.setattr(clock, "sleep", arrive)
    still.run_message(message)
    assert {row.status for row in arrived} == {Status.WAITING}
    assert len(still.sent_jobs) == 24
    assert wake_ups(still) == []


def test_a_wake_up_leaves_to_another_who_can_not_start_in_half_of_its_time(still: Bench) -> None:
    """Else it could be cut off, and nobody would know who waits."""
    limits.put(QUEUE, rate=Rate(1))
    for row in [dispatch(still) for _ in range(5)]:
        still.run(row)
    ((message, delay),) = wake_ups(still)
    still.sent.clear()
    still.advance(delay)
    began = clock.now()
    execution.run(message, deadline=began + 3000, send=still.send)
    assert len(still.sent_jobs) == 2
    assert clock.now() - began <= 1500
    assert [round(delay) for _, delay in wake_ups(still)] == [1]


def test_who_comes_after_a_line_was_paced_has_a_wake_up_of_its_own(
    still: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits.put(QUEUE, rate=Rate(1))
    for row in [dispatch(still) for _ in range(3)]:
        still.run(row)
    ((message, delay),) = wake_ups(still)
    still.sent.clear()
    still.advance(delay)
    monkeypatch.setattr(clock, "sleep", still.advance)
    still.run_message(message)
    assert len(still.sent_jobs) == 2
    assert still.run(dispatch(still)).status is Status.WAITING
    assert len(wake_ups(still)) == 1


def test_who_comes_after_a_wake_up_that_came_for_nobody_has_one_of_its_own(still: Bench) -> None:
    limits.put(QUEUE, rate=Rate(1, seconds=2000))
    still.run(dispatch(still))
    waiting = still.run(dispatch(still))
    ((message, delay),) = wake_ups(still)
    still.sent.clear()
    caller_actions.cancel(waiting, still.send)
    still.advance(delay)
    still.run_message(message)
    assert still.sent == []
    assert still.run(dispatch(still)).status is Status.WAITING
    assert len(wake_ups(still)) == 1


class Killed(BaseException):
    """The process is gone, and does nothing any more."""


@pytest.mark.parametrize("number", [1, 2], ids=["who held it", "the wake-up before"])
def test_who_is_killed_before_it_sends_a_wake_up_keeps_nobody_waiting(
    still: Bench, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """And no failure record comes. The timer finds the one that waits first, and no other."""
    limits.put(QUEUE, rate=Rate(1, seconds=100))
    rows = [dispatch(still) for _ in range(4)]
    sent: list[Message] = []

    def send(message: Message, delay: float = 0) -> None:
        if isinstance(message, QueueMessage):
            sent.append(message)
            if len(sent) == number:
                raise Killed
        still.sent.append((message, delay))

    def all_come() -> None:
        for row in rows:
            still.advance(1)
            still.run(row)
        still.advance(100)
        still.run_message(sent[0])

    with monkeypatch.context() as until_killed:
        until_killed.setattr(still, "send", send)
        with pytest.raises(Killed):
            all_come()
    for row in rows[1:]:
        if still.read(row).status is Status.QUEUED:  # the killed one had not come to it
            still.advance(1)
            still.run(row)
    still.sent.clear()
    looked = 0
    for _ in range(2 * 60 // 20 + 100 // 20):
        still.advance(20)
        looked += still.tick().counts[timer.Disposition.HELD]
    assert still.sent_jobs[0] == rows[number].id
    assert looked <= 1


def test_a_job_that_is_canceled_takes_no_wake_up_with_it(still: Bench) -> None:
    """The timer was to look at it for the others, too, and their message is lost."""
    limits.put(QUEUE, rate=Rate(1, seconds=100))
    rows = [dispatch(still) for _ in range(3)]
    for row in rows:
        still.advance(1)
        still.run(row)
    caller_actions.cancel(still.read(rows[1]), still.send)
    still.sent.clear()
    still.advance(100 + 60)
    still.tick()
    assert still.sent_jobs == [rows[2].id]


def test_a_wake_up_that_can_not_be_sent_is_left_to_the_timer(
    still: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits.put(QUEUE, rate=Rate(1, seconds=10))
    rows = [dispatch(still) for _ in range(2)]

    def refuse(message: Message, delay: float = 0) -> None:
        raise SendFailed("a wake-up", "no")

    monkeypatch.setattr(still, "send", refuse)
    for row in rows:
        still.run(row)
    monkeypatch.undo()
    began = clock.now()
    monkeypatch.setattr(clock, "now", lambda: began + 60_000)
    still.tick()
    assert still.sent_jobs == [rows[1].id]
