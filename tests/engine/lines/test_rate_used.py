"""A rate is used while jobs wait, and never exceeded: processes that take their time compete."""

import math
from collections import defaultdict
from itertools import pairwise
from typing import Any

import pytest

from bench import Bench
from job_runners import clock
from job_runners.engine.lines import admission
from job_runners.engine.running import execution
from job_runners.engine.wire.messages import JobMessage, Message
from job_runners.errors import PreconditionFailed
from job_runners.store import limits, lines, transitions
from job_runners.store.conditional_write import Change
from job_runners.store.job_request import JobRequest, Status
from job_runners.store.rate import Rate
from job_runners.testing.aws import forget
from job_runners.work import Queue
from limited_queue import QUEUE, dispatch, items
from lost_answers import lose_next_answer
from rate_sample import QUEUES
from sample_work import Sample, script
from virtual_time import VirtualTime

_WARM = (0.03, 0.15)  # the seconds that a message takes to reach a warm invocation
_COLD = (0.3, 1.5)  # each invocation is a cold start
_UNTIL_PACED = 3  # seconds after jobs begin to wait: the first wake-up takes up to two


class Lambda:
    """Runs each message in a thread, after the time that it takes to arrive."""

    def __init__(self, time: VirtualTime, arrives: tuple[float, float]) -> None:
        self.time = time
        self.arrives = arrives

    def send(self, message: Message, delay: float = 0) -> None:
        """Send a message as the runner does: SQS delays it by whole seconds."""
        self.time.sleep(self.time.random.uniform(0.015, 0.04))
        self.arrive(message, math.ceil(delay) + self.time.random.random() / 2 if delay else 0)

    def arrive(self, message: Message, delay: float = 0) -> None:
        """Run a message."""
        seconds = delay + self.time.random.uniform(*self.arrives)
        self.time.spawn(seconds, lambda: self._run(message))

    def _run(self, message: Message) -> None:
        execution.run(message, deadline=clock.now() + 900_000, send=self.send)


@pytest.mark.parametrize(
    ("rate", "keys", "arrives", "seconds"),
    [
        (Rate(5), 1, _WARM, 8),
        (Rate(5), 1, _COLD, 16),
        (Rate(5), 6, _WARM, 5),
        (Rate(10), 1, _WARM, 9),
        (Rate(10), 1, _COLD, 12),
        (Rate(10), 4, _WARM, 7),
        (Rate(20), 1, _WARM, 8),
    ],
    ids=lambda value: f"{value.count} a second" if isinstance(value, Rate) else None,
)
def test_nine_tenths_of_a_rate_are_used_for_each_key_while_jobs_wait(
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
    rate: Rate,
    keys: int,
    arrives: tuple[float, float],
    seconds: int,
) -> None:
    monkeypatch.setitem(QUEUES, "rated", Queue(rate=rate, per="text"))
    monkeypatch.setenv("JOBS_PACKAGES", "sample_work,rate_sample")
    forget()
    time = VirtualTime(clock.now())
    monkeypatch.setattr(clock, "now", time.now)
    monkeypatch.setattr(clock, "sleep", time.sleep)
    counted: dict[str, list[int]] = defaultdict(list)
    starts: dict[str, list[int]] = defaultdict(list)
    count = lines.count_start

    def count_start(line: lines.Line, _rate: Rate, token: str, at: int) -> bool:
        done = count(line, _rate, token, at)
        if done:
            counted[line.partition_key].append(at)
        return done

    def work(job: Any, payload: Sample) -> None:
        starts[payload.text].append(time.now())
        time.sleep(0.05)

    monkeypatch.setattr(lines, "count_start", count_start)
    script.job = work
    rows = [
        bench.dispatch("rated", payload={"text": f"c{key}"})
        for _ in range(rate.count * seconds + 10)
        for key in range(keys)
    ]
    simulated = Lambda(time, arrives)
    time.slow_down_aws()
    for number, row in enumerate(rows):
        simulated.arrive(JobMessage.about(row), number / 500)
    began_at = time.now()
    time.run(seconds)
    assert len(starts) == keys
    paced_from = began_at + _UNTIL_PACED * clock.SECOND
    paced = [at for times in starts.values() for at in times if at >= paced_from]
    assert len(paced) / keys >= 0.9 * rate.count * (seconds - _UNTIL_PACED)
    assert max(map(len, starts.values())) <= rate.count * seconds + rate.burst
    gaps = [later - earlier for times in counted.values() for earlier, later in pairwise(times)]
    assert min(gaps) >= rate.interval // 1000


# --- what the parts promise -----------------------------------------------------------------------


def ready(bench: Bench, number: int, rate: Rate) -> list[JobRequest]:
    """Return jobs that were admitted at a fast rate, whose messages come now."""
    limits.put(QUEUE, rate=rate)
    bench.run(dispatch(bench))
    rows = [dispatch(bench) for _ in range(number)]
    for row in rows:
        bench.run(row)
    found = [row for row in map(bench.read, rows) if row.status is Status.QUEUED]
    assert len(found) >= 2
    bench.sent.clear()
    return found


def test_two_passes_that_admit_the_same_job_send_it_once(
    still: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second message would use up a start of the rate."""
    limits.put(QUEUE, rate=Rate(1, seconds=60))
    still.run(dispatch(still))
    row = dispatch(still)
    still.run(row)
    still.advance(60)
    still.sent.clear()
    admit = transitions.admit

    def overtaken(*arguments: Any) -> Change:
        monkeypatch.setattr(transitions, "admit", admit)
        admission.admit_waiting(QUEUE, "*", still.send)
        still.advance(0.001)
        return admit(*arguments)

    monkeypatch.setattr(transitions, "admit", overtaken)
    admission.admit_waiting(QUEUE, "*", still.send)
    assert still.sent_jobs == [row.id]


@pytest.mark.parametrize("by_another", [False, True])
def test_an_admission_counts_without_its_answer_if_it_is_this_one(
    still: Bench, by_another: bool
) -> None:
    limits.put(QUEUE, rate=Rate(1, seconds=60))
    still.run(dispatch(still))
    row = dispatch(still)
    waiting = still.run(row)
    still.advance(60)
    grant = lines.read_line(QUEUE, "*", limits.Limits(rate=Rate(1, seconds=60))).grant("")
    if by_another:
        transitions.admit(waiting, grant)
        still.advance(1)
        with pytest.raises(PreconditionFailed):
            transitions.admit(waiting, grant)
    else:
        lose_next_answer("TransactWriteItems")
        assert transitions.admit(waiting, grant).after.status is Status.QUEUED


def opens_at(rate: Rate) -> int:
    """Return when the rate allows the next start."""
    return lines.read_line(QUEUE, "*", limits.Limits(rate=rate)).next_start_at()


def test_a_worker_that_comes_early_reserves_its_start(
    still: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, *_ = ready(still, 4, Rate(5))
    opens = opens_at(Rate(5))
    seen: list[int] = []

    def sleep(seconds: float) -> None:
        if not seen:  # another one comes while it waits
            seen.append(opens_at(Rate(5)))
            still.run(second)
            seen.append(clock.now())
        still.advance(seconds)

    monkeypatch.setattr(clock, "sleep", sleep)
    still.run(first)
    assert seen == [opens + 200, opens + 200]


def test_a_worker_that_waits_for_its_start_admits_the_next_if_no_pass_does(still: Bench) -> None:
    first, second, *_ = ready(still, 4, Rate(4))
    assert still.run(dispatch(still)).status is Status.WAITING
    still.advance(60)  # the wake-up is lost
    admitted: list[str] = []

    def work(job: Any, payload: object) -> None:
        if job.id == first.id:
            still.sent.clear()
            still.run(second)
        elif job.id == second.id:
            admitted.extend(still.sent_jobs)

    script.job = work
    still.run(first)
    assert admitted


def test_an_admitted_job_whose_start_must_wait_keeps_its_position(still: Bench) -> None:
    first, second, *_ = ready(still, 4, Rate(5))
    limits.put(QUEUE, rate=Rate(1, seconds=3600))
    still.advance(60)  # until each process knows the new rate
    still.run(second)
    other = dispatch(still)
    still.advance(1)
    assert still.run(other).status is Status.WAITING
    still.advance(1)
    assert still.run(first).status is Status.WAITING
    assert max(str(each["sk"]) for each in items("wait#")).endswith(other.id)


def test_a_start_that_was_reserved_without_an_answer_is_not_made_earlier(still: Bench) -> None:
    first, *_ = ready(still, 4, Rate(5))
    opens = opens_at(Rate(5))
    assert opens > clock.now()
    lose_next_answer("UpdateItem")
    assert still.run(first).status is Status.SUCCEEDED
    assert clock.now() == opens


@pytest.mark.parametrize(("late", "starts_after"), [(50, 50), (51, 400)])
def test_a_worker_that_wakes_too_late_counts_its_start_again(
    still: Bench, monkeypatch: pytest.MonkeyPatch, late: int, starts_after: int
) -> None:
    """Another one has reserved the next start. Otherwise both could start at once."""
    first, *_ = ready(still, 4, Rate(5))
    opens = opens_at(Rate(5))
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        if not slept:
            slept.append(seconds)
            line = lines.read_line(QUEUE, "*", limits.Limits(rate=Rate(5)))
            assert lines.count_start(line, Rate(5), "another", line.next_start_at())
            seconds += late / 1000
        still.advance(seconds)

    monkeypatch.setattr(clock, "sleep", sleep)
    assert still.run(first).status is Status.SUCCEEDED
    assert clock.now() - opens == starts_after
