"""A job that goes on in turns: it gives its slot back, and pays the rate of its queue again."""

import io
from itertools import pairwise
from typing import Any

import pytest

import sample_work
from bench import Bench
from job_runners import clock
from job_runners.engine.control import caller_actions
from job_runners.engine.running import execution
from job_runners.engine.wire.messages import JobMessage
from job_runners.engine.wire.sending import CANNOT_SEND
from job_runners.errors import InvocationsSpent
from job_runners.store import limits, transitions
from job_runners.store.job_request import Status
from job_runners.work import Job, Queue, Rate
from outage import Outage
from sample_work import script
from telemetry_lines import logged

PACED = Queue(rate=Rate(1, seconds=5))
SINGLE = Queue(slots=1)


@pytest.fixture(autouse=True)
def queues(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample_work, "QUEUES", {"paced": PACED, "single": SINGLE}, raising=False)


@pytest.fixture
def turns(bench: Bench) -> list[tuple[str, int, float]]:
    """Have every job count to 3, one each turn; return who counted what, and when."""
    taken: list[tuple[str, int, float]] = []
    began = clock.now()

    def work(job: Any, payload: object) -> int:
        done = job.cursor or 0
        while done < 3:
            done += 1
            taken.append((job.id, done, round((clock.now() - began) / 1000)))
            if done < 3:
                job.next_turn(done, progress=done * 30, message=f"{done} done")
        return done

    script.job = work
    return taken


def test_a_job_takes_its_turns_at_the_rate_of_its_queue(
    bench: Bench, turns: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transitions, "end_invocation", None)  # nothing more is written of a turn
    row = bench.dispatch(queue_name="paced")
    bench.run(row)
    waiting = bench.read(row)
    assert (waiting.status, waiting.cursor, waiting.progress) == (Status.WAITING, 1, 30)
    assert waiting.result_message == "1 done"
    bench.run_out()
    assert [done for _, done, _ in turns] == [1, 2, 3]
    began = [at for _, _, at in turns]
    assert [5 <= after - before <= 7 for before, after in pairwise(began)] == [True, True]
    done = bench.read(row)
    assert (done.status, done.attempt, done.invocations) == (Status.SUCCEEDED, 1, 3)


def test_each_turn_begins_at_the_end_of_the_line(bench: Bench, turns: list[Any]) -> None:
    rows = [bench.dispatch(queue_name="single") for _ in range(2)]
    for row in rows:
        bench.run(row)
    bench.run_out()
    assert [bench.read(row).status for row in rows] == [Status.SUCCEEDED] * 2
    first, second = (row.id for row in rows)
    assert [(who, done) for who, done, _ in turns] == [
        (first, 1),
        (first, 2),  # it was admitted again before the second one came
        (second, 1),
        (first, 3),
        (second, 2),
        (second, 3),
    ]


def test_a_turn_has_waited_since_it_was_admitted_and_not_since_the_one_before_began(
    bench: Bench, turns: list[Any], lines: io.StringIO
) -> None:
    count = script.job

    def slowly(job: Any, payload: Any) -> Any:
        bench.advance(60)
        return count(job, payload)

    script.job = slowly
    bench.run(bench.dispatch(queue_name="paced"))
    bench.run_out()
    waits = [line["queue_wait_ms"] for line in logged(lines) if line["message"] == "claimed"]
    assert [wait // clock.SECOND for wait in waits] == [0, 0, 0]


def test_without_limits_it_just_goes_on(bench: Bench, turns: list[Any]) -> None:
    row = bench.dispatch()
    bench.run(row)
    bench.run_out()
    assert bench.read(row).status is Status.SUCCEEDED
    assert [done for _, done, _ in turns] == [1, 2, 3]


def test_limits_that_are_declared_while_it_runs_count_from_its_next_turn(
    bench: Bench, turns: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    row = bench.dispatch()
    limits.put("default", rate=Rate(1, seconds=5))
    limits._cache.read_at = clock.now()  # this process has not heard of it
    bench.run(row)
    assert bench.read(row).status is Status.QUEUED
    bench.advance(10)
    bench.run_out()
    assert [at // 5 for _, _, at in turns] == [0, 2, 3]
    assert bench.read(row).status is Status.SUCCEEDED


def test_who_asks_it_to_stop_during_a_turn_is_heard(
    bench: Bench, turns: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    row = bench.dispatch(queue_name="single")
    count = script.job

    def asked_to_stop(job: Any, payload: Any) -> Any:
        caller_actions.cancel(bench.read(row))
        return count(job, payload)

    script.job = asked_to_stop
    bench.run(row)
    stopped = bench.read(row)
    assert (stopped.status, stopped.cursor, stopped.slot) == (Status.CANCELED, 1, None)
    script.job = count
    other = bench.dispatch(queue_name="single")
    bench.run(other)
    assert bench.read(other).invocations == 1  # the slot is free


def test_turns_are_invocations_and_are_bounded_as_they_are(
    bench: Bench, turns: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Job(sample_work.again, queue_name="single", max_invocations=2)
    monkeypatch.setitem(sample_work.JOBS, "sample_again", job)
    row = bench.dispatch()
    bench.run(row)
    bench.run_out()
    failed = bench.read(row)
    assert (failed.status, failed.error["kind"]) == (Status.FAILED, InvocationsSpent.__name__)


@pytest.mark.parametrize("kind", ["broken", "unheard"])
@pytest.mark.parametrize("queue", ["paced", "single"])
def test_a_turn_ends_well_when_the_table_does_not_answer(
    bench: Bench, turns: list[Any], outage: Outage, kind: str, queue: str
) -> None:
    """What it did is recorded, and it waits in its line or has been admitted: it does not run on
    without having paid, and is not lost."""
    row = bench.dispatch(queue_name=queue)
    count = script.job

    def cut_off(job: Any, payload: Any) -> Any:
        outage.begin(kind, seconds=60, only="TransactWriteItems")
        return count(job, payload)

    script.job = cut_off
    bench.run(row)
    script.job = count
    assert outage.calls
    assert bench.read(row).cursor == 1
    outage.end()
    bench.run_out()
    assert bench.read(row).status is Status.SUCCEEDED
    assert [done for _, done, _ in turns] == [1, 2, 3]


def test_a_runner_that_can_not_send_a_job_again_just_goes_on(
    bench: Bench, turns: list[Any]
) -> None:
    row = bench.dispatch("sample_once", queue_name="single")
    execution.run(JobMessage.about(row), deadline=clock.now() + 900_000, send=CANNOT_SEND)
    assert bench.read(row).status is Status.SUCCEEDED
    assert bench.read(row).invocations == 1


def test_between_two_turns_it_can_be_canceled(bench: Bench, turns: list[Any]) -> None:
    row = bench.dispatch(queue_name="paced")
    bench.run(row)
    assert caller_actions.cancel(bench.read(row)).status is Status.CANCELED
    bench.run_out()
    assert len(turns) == 1
    assert bench.read(row).status is Status.CANCELED
