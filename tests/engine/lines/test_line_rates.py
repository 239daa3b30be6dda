"""Queues with a rate: starts are spread, paid for once, and waited for by a wake-up."""

from itertools import pairwise
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from bench import Bench
from job_runners import clock
from job_runners.engine.lines import admission, pausing
from job_runners.engine.running import execution
from job_runners.engine.wire.messages import JobMessage, QueueMessage
from job_runners.engine.wire.sending import CANNOT_SEND
from job_runners.store import limits, lines, transitions
from job_runners.store.conditional_write import Change
from job_runners.store.job_request import JobRequest, Status
from job_runners.store.line_items import RATE, LineItem
from job_runners.store.lines import Grant, Line
from job_runners.store.pauses import Kind
from job_runners.store.rate import Rate
from limited_queue import PLACE, QUEUE, dispatch, during, held, hold_in_order, items
from sample_work import script


def end_invocation(bench: Bench, job: Any, *invocations: int) -> None:
    """Come to the end of the invocation's time, in these invocations."""
    if job.invocation in invocations:
        bench.advance(880)
        job.checkpoint(job.invocation)


def start_times(bench: Bench) -> list[int]:
    starts: list[int] = []

    def work(job: Any, payload: object) -> None:
        starts.append(clock.now())

    script.job = work
    return starts


def deliver_in_time(bench: Bench) -> None:
    """Deliver what was sent, each message when its delay is over."""
    waiting = [(clock.now() + int(delay * 1000), message) for message, delay in bench.sent]
    bench.sent.clear()
    while waiting:
        waiting.sort(key=lambda each: each[0])
        at, message = waiting.pop(0)
        bench.advance(max(0, at - clock.now()) / 1000)
        execution.run(message, deadline=clock.now() + 900_000, send=bench.send)
        waiting += [(clock.now() + int(delay * 1000), it) for it, delay in bench.sent]
        bench.sent.clear()


def test_starts_are_spread_over_the_period(still: Bench) -> None:
    limits.put(QUEUE, rate=Rate(6, seconds=60))
    starts = start_times(still)
    rows = [dispatch(still) for _ in range(7)]
    for row in rows:
        still.run(row)
    assert len(starts) == 1
    deliver_in_time(still)
    gaps = [later - earlier for earlier, later in pairwise(starts)]
    assert len(gaps) == 6
    assert all(10_000 <= gap <= 10_001 for gap in gaps)


def test_a_burst_starts_at_once_after_a_time_without(still: Bench) -> None:
    limits.put(QUEUE, rate=Rate(6, seconds=60, burst=3))
    starts = start_times(still)
    for row in [dispatch(still) for _ in range(5)]:
        still.run(row)
    assert len(starts) == 3
    deliver_in_time(still)
    assert len(starts) == 5


def test_a_rate_of_many_a_second_is_kept_up_by_one_wake_up(still: Bench) -> None:
    limits.put(QUEUE, rate=Rate(20))
    starts = start_times(still)
    for row in [dispatch(still) for _ in range(40)]:
        still.run(row)
    wake_ups = [it for it, _ in still.sent if isinstance(it, QueueMessage)]
    assert len(wake_ups) == 1
    began = clock.now()
    deliver_in_time(still)
    assert len(starts) == 40
    # Here the wake-up ends before the first job that it admits is delivered; each takes its turn.
    assert clock.now() - began <= 2 * 2000 + 100
    assert all(later - earlier >= 50 for earlier, later in pairwise(starts[1:]))


def test_a_job_that_was_admitted_at_a_rate_pays_once_whatever_its_invocations(still: Bench) -> None:
    limits.put(QUEUE, rate=Rate(1, seconds=100))
    script.job = lambda job, payload: end_invocation(still, job, 1, 2)
    row = dispatch(still)
    for _ in range(3):
        still.run(row)
    assert still.read(row).status is Status.SUCCEEDED
    (rate,) = items("rate")
    assert rate["turn"] == 1


def test_a_job_that_a_pause_has_held_pays_for_its_start_as_any_other(still: Bench) -> None:
    limits.put(QUEUE, rate=Rate(1, seconds=3600))
    row = dispatch(still)
    pausing.pause(Kind.QUEUE, QUEUE)
    assert still.run(row).status is Status.WAITING
    pausing.resume(Kind.QUEUE, QUEUE, still.send)
    assert still.read(row).status is Status.QUEUED
    still.advance(11)
    assert still.run(dispatch(still)).status is Status.SUCCEEDED  # there is one start an hour
    assert still.run(row).status is Status.WAITING


def test_a_wake_up_that_was_lost_is_asked_for_again(still: Bench) -> None:
    limits.put(QUEUE, rate=Rate(1, seconds=10))
    starts = start_times(still)
    for row in [dispatch(still) for _ in range(2)]:
        still.run(row)
    still.sent.clear()
    still.advance(3700)
    still.tick()
    still.deliver()
    assert len(starts) == 2


def test_a_rate_that_was_slow_does_not_hold_up_a_faster_one(still: Bench) -> None:
    limits.put(QUEUE, rate=Rate(1, seconds=3600))
    starts = start_times(still)
    still.run(dispatch(still))
    limits.put(QUEUE, rate=Rate(1, seconds=2))
    still.advance(2)
    still.run(dispatch(still))
    assert len(starts) == 2


def test_a_job_that_had_begun_before_there_was_a_rate_pays_for_its_next_invocation(
    still: Bench,
) -> None:
    row = dispatch(still)
    script.job = lambda job, payload: end_invocation(still, job, 1)
    assert still.run(row).invocations == 1
    limits.put(QUEUE, rate=Rate(1, seconds=3600))
    still.advance(11)
    script.job = lambda job, payload: None
    assert still.run(dispatch(still)).status is Status.SUCCEEDED
    assert still.run(row).status is Status.WAITING


def admitted(bench: Bench, count: int, seconds: float) -> list[JobRequest]:
    """Return jobs that were admitted at their queue's rate, whose messages have not come yet."""
    rows = [dispatch(bench) for _ in range(count)]
    for row in rows:
        bench.run(row)
    for _ in range(count):
        bench.advance(seconds)
        admission.admit_waiting(QUEUE, "*", bench.send)
    bench.sent.clear()
    return [row for row in map(bench.read, rows) if row.status is Status.QUEUED]


def test_jobs_that_were_admitted_long_ago_start_no_faster_than_the_rate(still: Bench) -> None:
    limits.put(QUEUE, rate=Rate(1, seconds=60))
    starts = start_times(still)
    late = admitted(still, 31, 60)
    assert len(late) == 30
    starts.clear()
    for row in late:  # every message comes at this moment
        still.run(row)
    assert len(starts) == 1
    deliver_in_time(still)
    assert len(starts) == 30
    assert all(later - earlier >= 60_000 for earlier, later in pairwise(starts))


def test_jobs_that_were_admitted_in_a_burst_start_in_one(still: Bench) -> None:
    limits.put(QUEUE, rate=Rate(1, seconds=60, burst=2))
    starts = start_times(still)
    rows = [dispatch(still) for _ in range(4)]
    for row in rows:
        still.run(row)
    still.advance(600)
    admission.admit_waiting(QUEUE, "*", still.send)
    for row in rows[2:]:
        still.run(row)
    assert len(starts) == 4
    assert starts[2] == starts[3]


def test_an_admitted_job_starts_although_its_rate_is_forgotten(still: Bench) -> None:
    limits.put(QUEUE, rate=Rate(1, seconds=60))
    (late,) = admitted(still, 2, 60)
    LineItem(PLACE, RATE).delete()
    assert still.run(late).status is Status.SUCCEEDED
    (rate,) = items("rate")
    assert rate["started_tat"] == (clock.now() + 60_000) * 1000


def test_an_admitted_job_starts_although_its_queue_has_no_rate_any_more(still: Bench) -> None:
    limits.put(QUEUE, slots=2, rate=Rate(1, seconds=60))
    (late,) = admitted(still, 2, 60)
    limits.put(QUEUE, slots=2)
    assert still.run(late).status is Status.SUCCEEDED


def test_an_admitted_job_whose_queue_gets_slots_pays_for_its_start(still: Bench) -> None:
    limits.put(QUEUE, rate=Rate(1, seconds=60))
    (late,) = admitted(still, 2, 60)
    limits.put(QUEUE, slots=1, rate=Rate(1, seconds=60))
    still.advance(60)
    assert still.run(late).status is Status.SUCCEEDED
    assert still.run(dispatch(still)).status is Status.WAITING


def test_an_admitted_job_starts_where_its_runner_cannot_send_it_again(still: Bench) -> None:
    limits.put(QUEUE, rate=Rate(1, seconds=60))
    first, late = admitted(still, 3, 60)
    still.run(first)
    deadline = clock.now() + 900_000
    execution.run(JobMessage.about(late), deadline=deadline, send=CANNOT_SEND)
    assert still.read(late).status is Status.SUCCEEDED


def test_jobs_whose_messages_always_come_late_start_at_the_rate(still: Bench) -> None:
    """All workers are busy for good: each message lies for half an hour."""
    limits.put(QUEUE, rate=Rate(1, seconds=60))
    starts = start_times(still)
    late = admitted(still, 31, 60)
    for row in late:
        still.run(row)
        still.advance(60)
    assert len(starts) == 31


def test_a_job_that_came_late_waits_in_front_of_those_that_were_held_since(still: Bench) -> None:
    limits.put(QUEUE, rate=Rate(1, seconds=60))
    first, late = admitted(still, 3, 60)
    after = dispatch(still)
    still.run(first)
    assert (still.run(after).status, still.run(late).status) == (Status.WAITING, Status.WAITING)
    ours, others = still.read(late).wait_key, still.read(after).wait_key
    assert str(ours) < str(others)


def test_a_claim_that_was_given_back_counts_no_start(still: Bench) -> None:
    """The job starts when it is claimed again, and others may have started in the meantime."""
    limits.put(QUEUE, rate=Rate(1, seconds=60))
    starts = start_times(still)
    given_back = [dispatch(still) for _ in range(2)]
    for row in given_back:
        still.run(row, seconds=900)
    starts.clear()
    still.advance(60)
    row = still.read(admitted_row(still, given_back))
    give_back(row, None)
    still.advance(60)
    assert still.run(dispatch(still)).status is Status.SUCCEEDED
    assert still.run(row).status is Status.WAITING
    assert len(starts) == 1


def give_back(row: JobRequest, grant: Grant | None) -> None:
    """Claim a job, with capacity that it gets only now if there is a grant, and release it."""
    claimed = transitions.claim(
        row.id,
        job_type=row.job_type,
        send_id="s",
        deadline=clock.now() + clock.MINUTE,
        entrance=transitions.Entrance(row, "*", grant),
    ).after
    transitions.release(claimed)


def read_line(**limited: Any) -> Line:
    return lines.read_line(QUEUE, "*", limits.Limits(**limited))


def test_a_start_that_was_given_back_is_counted_again(still: Bench) -> None:
    limits.put(QUEUE, rate=Rate(1, seconds=60))
    row = dispatch(still)
    give_back(row, read_line(rate=Rate(1, seconds=60)).grant(""))
    still.advance(60)
    assert still.run(dispatch(still)).status is Status.SUCCEEDED
    assert still.run(row).status is Status.WAITING


@pytest.mark.parametrize("had_rate", [False, True])
def test_a_rate_counts_no_start_of_a_job_that_was_admitted_before_it_was_set(
    still: Bench, had_rate: bool
) -> None:
    row = dispatch(still)
    if had_rate:
        give_back(row, read_line(rate=Rate(1)).grant(""))
    limits.put(QUEUE, slots=1)
    during(still, lambda: hold_in_order(still, row))
    assert held() == [row.id]
    limits.put(QUEUE, slots=1, rate=Rate(1, seconds=3600))
    before = items("rate")
    assert still.run(row).status is Status.SUCCEEDED
    assert items("rate") == before


def admitted_row(bench: Bench, rows: list[JobRequest]) -> str:
    admission.admit_waiting(QUEUE, "*", bench.send)
    return next(row.id for row in map(bench.read, rows) if row.status is Status.QUEUED)


def test_a_start_that_was_counted_is_not_counted_again_if_its_claim_had_no_answer(
    still: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits.put(QUEUE, rate=Rate(1, seconds=60))
    starts = start_times(still)
    (late,) = admitted(still, 2, 60)
    starts.clear()
    real, calls = transitions.claim, []

    def claim(*args: Any, **kwargs: Any) -> Change:
        calls.append(args)
        if len(calls) == 1:
            raise EndpointConnectionError(endpoint_url="dynamodb")
        return real(*args, **kwargs)

    monkeypatch.setattr(transitions, "claim", claim)
    assert still.run(late).status is Status.SUCCEEDED
    assert (len(calls), len(starts)) == (2, 1)
    (rate,) = items("rate")
    assert rate["started_tat"] == (clock.now() + 60_000) * 1000


# --- a worker that has its job's start to wait for ------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "paced", "admits"), [(0.9, False, True), (0.9, True, False), (0.15, False, False)]
)
def test_a_worker_admits_the_next_jobs_only_if_it_has_time_and_no_pass_does_that(
    still: Bench, monkeypatch: pytest.MonkeyPatch, seconds: float, paced: bool, admits: bool
) -> None:
    limits.put(QUEUE, rate=Rate(1))
    first, second = admitted(still, 3, 1)  # and their messages come late
    still.run(first)
    still.advance(1 - seconds)
    mark = LineItem.wake_at.set(clock.now() + clock.MINUTE)
    LineItem(PLACE, RATE).update([mark if paced else LineItem.wake_at.remove()])
    starts_at = clock.now() + seconds * 1000
    admit, passes = admission.admit_waiting, list[int]()

    def noted(*line: Any, until: int | None = None, **more: Any) -> None:
        if until is not None:  # not after the end of a job
            passes.append(until)
        admit(*line, until=until, **more)

    monkeypatch.setattr(admission, "admit_waiting", noted)
    assert still.run(second).status is Status.SUCCEEDED
    assert clock.now() == starts_at
    assert [until < starts_at for until in passes] == [True] * admits


def test_a_start_that_is_counted_slowly_is_counted_once(
    still: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise, the job might never start while DynamoDB is slow."""
    limits.put(QUEUE, rate=Rate(1, seconds=60))
    (late,) = admitted(still, 2, 60)
    count, counted = lines.count_start, list[int]()

    def slowly(line: Line, rate: Rate, token: str, at: int) -> bool:
        counted.append(at)
        assert len(counted) < 5
        still.advance(0.2)
        return count(line, rate, token, at)

    monkeypatch.setattr(lines, "count_start", slowly)
    assert still.run(late).status is Status.SUCCEEDED
    assert len(counted) == 1


def test_a_count_is_refused_after_the_worker_before_it_has_moved_its_start(still: Bench) -> None:
    rate = Rate(1, seconds=60)
    limits.put(QUEUE, rate=rate)

    def read_line() -> Line:
        return lines.read_line(QUEUE, "*", limits.Limits(rate=rate))

    now = clock.now()
    assert lines.count_start(read_line(), rate, "first", now)
    stale = read_line()
    assert lines.count_start(read_line(), rate, "first", now + 30_000)
    assert not lines.count_start(stale, rate, "second", now + 60_000)
    assert read_line().next_start_at() == now + 90_000
