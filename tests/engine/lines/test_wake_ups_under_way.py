"""Which wake-up of a line is under way, and what becomes of one that comes for nobody, or that can
not be sent: nobody waits for long, and none makes others."""

from collections.abc import Callable
from typing import Any

import pytest

from bench import Bench
from job_rows import make_unreadable
from job_runners import clock
from job_runners.engine.control import caller_actions
from job_runners.engine.lines import admission
from job_runners.engine.lines import wake_ups as waking
from job_runners.engine.wire.messages import Message, QueueMessage
from job_runners.errors import SendFailed
from job_runners.store import limits, transitions
from job_runners.store.job_request import JobRequest, Status
from job_runners.store.line_items import LineItem
from job_runners.store.rate import Rate
from limited_queue import PLACE, QUEUE, dispatch, items, wake_ups
from outage import Outage


def waiting(bench: Bench, number: int, rate: Rate) -> list[JobRequest]:
    """Return so many jobs that wait for a rate, which another one has just used up."""
    limits.put(QUEUE, rate=rate)
    bench.run(dispatch(bench))
    rows = [dispatch(bench) for _ in range(number)]
    for row in rows:
        bench.advance(0.001)
        assert bench.run(row).status is Status.WAITING
    return rows


def test_a_wake_up_that_comes_too_early_for_nobody_leaves_the_next_to_the_one_under_way(
    still: Bench,
) -> None:
    """A message may come twice."""
    (row,) = waiting(still, 1, Rate(1, seconds=100))
    ((message, delay),) = wake_ups(still)
    still.sent.clear()
    caller_actions.cancel(still.read(row), still.send)
    still.run_message(message)
    row = still.run(dispatch(still))
    assert wake_ups(still) == []
    still.advance(delay)
    still.run_message(message)
    assert still.sent_jobs == [row.id]


def test_a_wake_up_that_is_late_is_waited_for_by_all_but_the_timer(still: Bench) -> None:
    waiting(still, 1, Rate(1, seconds=2000))
    still.sent.clear()  # the message of the first stage, which comes after 900 s
    still.advance(930)
    assert still.run(dispatch(still)).status is Status.WAITING
    assert wake_ups(still) == []
    still.advance(31)
    still.tick()
    assert [round(delay) for _, delay in wake_ups(still)] == [900]


def test_who_comes_after_a_wake_up_that_was_lost_has_one_of_its_own(still: Bench) -> None:
    (row,) = waiting(still, 1, Rate(1, seconds=30))
    still.sent.clear()
    still.advance(30 + 60)
    still.tick()
    assert still.sent_jobs == [row.id]
    assert still.run(dispatch(still)).status is Status.WAITING
    assert [round(delay) for _, delay in wake_ups(still)] == [30]


def test_a_wake_up_of_a_slower_rate_is_not_waited_for(still: Bench) -> None:
    (row,) = waiting(still, 1, Rate(1, seconds=3600))
    still.sent.clear()
    limits.put(QUEUE, rate=Rate(1, seconds=20))
    assert still.run(dispatch(still)).status is Status.WAITING
    ((message, delay),) = wake_ups(still)
    assert delay <= 20
    still.sent.clear()
    still.advance(delay)
    still.run_message(message)
    assert still.sent_jobs == [row.id]


def test_of_two_that_pace_a_line_the_later_one_goes_on(
    still: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting(still, 5, Rate(1))
    ((message, delay),) = wake_ups(still)
    still.sent.clear()
    still.advance(delay)

    def sleep(seconds: float) -> None:
        still.advance(seconds)
        LineItem(PLACE, "rate").update([LineItem.wake_at.set(clock.now() + clock.MINUTE)])

    monkeypatch.setattr(clock, "sleep", sleep)
    still.run_message(message)
    assert len(still.sent_jobs) == 2  # the first, and who could start as it looked again
    assert wake_ups(still) == []


def test_who_is_killed_as_soon_as_it_has_held_the_first_keeps_nobody_waiting(
    still: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    limits.put(QUEUE, rate=Rate(1, seconds=100))
    still.run(dispatch(still))
    row = dispatch(still)
    with monkeypatch.context() as until_killed:
        until_killed.setattr(admission, "admit_waiting", killed)
        with pytest.raises(KeyboardInterrupt):
            still.run(row)
    still.advance(100 + 60)
    still.tick()
    assert still.sent_jobs == [row.id]


def test_of_those_who_wait_the_timer_looks_at_the_first_alone_within_the_hour(
    still: Bench,
) -> None:
    rows = [still.read(row) for row in waiting(still, 3, Rate(1, seconds=100))]
    soon = [(row.due_at or 0) - clock.now() < 3 * clock.MINUTE for row in rows]
    assert soon == [True, False, False]


# --- jobs that wait no more -----------------------------------------------------------------------


def deleted(row: JobRequest) -> None:
    row.delete()


def canceled_by_0_1_0(row: JobRequest) -> None:
    """Cancel it, as code does that knows of pauses, and of no lines."""
    canceled = JobRequest.status.set(Status.CANCELED)
    row.update([canceled, JobRequest.held_by.remove(), JobRequest.due_at.remove()])


@pytest.mark.parametrize("gone", [deleted, canceled_by_0_1_0])
def test_where_the_first_waits_no_more_the_timer_knows_of_the_next(
    still: Bench, gone: Callable[[JobRequest], None]
) -> None:
    first, second = waiting(still, 2, Rate(1, seconds=100))
    gone(still.read(first))
    still.advance(10)
    still.run(dispatch(still))
    assert len(items("wait#")) == 2
    still.sent.clear()  # the wake-up, too
    still.advance(90 + 60)
    still.tick()
    assert still.sent_jobs == [second.id]


def moved_meanwhile(bench: Bench, row: JobRequest, patch: Any, outage: Outage) -> None:
    postpone = transitions.postpone

    def after_it_is_canceled(*asked: Any) -> Any:
        caller_actions.cancel(bench.read(row))
        return postpone(*asked)

    patch.setattr(transitions, "postpone", after_it_is_canceled)


TROUBLES: dict[str, Callable[[Bench, JobRequest, Any, Outage], Any]] = {
    "nobody waits": lambda bench, row, patch, outage: caller_actions.cancel(bench.read(row)),
    "its row is gone": lambda bench, row, patch, outage: row.delete(),
    "it moves": moved_meanwhile,
    "a field can't be read": lambda bench, row, patch, outage: make_unreadable(row, "invocations"),
    "its status can't": lambda bench, row, patch, outage: make_unreadable(row, "status"),
    "AWS is away": lambda bench, row, patch, outage: outage.begin("throttled", 1),
}


@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES)
def test_a_wake_up_that_can_not_be_left_to_the_timer_either_is_no_failure_of_who_sends_it(
    still: Bench,
    monkeypatch: pytest.MonkeyPatch,
    outage: Outage,
    trouble: Callable[[Bench, JobRequest, Any, Outage], Any],
) -> None:
    """It has recorded an outcome, and goes on."""
    (row,) = waiting(still, 1, Rate(1, seconds=100))
    trouble(still, row, monkeypatch, outage)

    def refuse(message: Message, delay: float = 0) -> None:
        raise SendFailed("a wake-up", "no")

    waking.send_wake_up_or_make_first_due(
        QueueMessage(queue_name=QUEUE, concurrency_key="*"), refuse, 0
    )
