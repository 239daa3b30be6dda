"""What an admission pass of a line does about those who wait there and about slots that nobody has:
it admits as many as there is room for, whatever happens around it."""

import io
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from pynamodb.exceptions import TransactWriteError

from bench import Bench
from job_runners import clock
from job_runners.aws import clients
from job_runners.engine.control import caller_actions
from job_runners.engine.lines import admission
from job_runners.engine.running import execution, failure_records
from job_runners.engine.wire.messages import JobMessage
from job_runners.engine.wire.sending import CANNOT_SEND
from job_runners.store import limits, lines, pauses, transitions
from job_runners.store.conditional_write import Change
from job_runners.store.job_request import JobRequest, Status
from job_runners.store.rate import Rate
from limited_queue import QUEUE, dispatch, during, held, hold_in_order, wake_ups
from outage import Outage
from sample_work import script
from telemetry_lines import logged


def held_rows(bench: Bench, number: int, groups: str = "") -> list[JobRequest]:
    """Return so many jobs that wait in the line, where nobody has a slot: their pass was lost.

    `groups` has one letter for the group of each job.
    """
    rows = [dispatch(bench) for _ in range(number)]
    for row, group in zip(rows, groups or [""] * number, strict=True):
        bench.advance(1)
        due_at = clock.now() + clock.DAY
        transitions.hold_in_line(row, f"line#{QUEUE}#*", "*", group=group, due_at=due_at)
    return rows


def admitted(bench: Bench, rows: list[JobRequest]) -> list[bool]:
    """Return of each whether it was admitted."""
    return [bench.read(row).status is Status.QUEUED for row in rows]


# --- what happens around it -----------------------------------------------------------------------


def test_a_runner_that_can_not_send_admits_nobody(one_slot: Bench) -> None:
    """Who is admitted has the slot, and would have no message: the timer admits it instead."""
    row, waiting = dispatch(one_slot, job_type="sample_once"), dispatch(one_slot)
    script.job = lambda job, payload: one_slot.run(waiting)
    execution.run(JobMessage.about(row), deadline=clock.now() + 900_000, send=CANNOT_SEND)
    assert one_slot.read(waiting).status is Status.WAITING
    one_slot.advance(3700)
    one_slot.tick()
    assert one_slot.sent_jobs == [waiting.id]


def test_where_nobody_waits_there_is_nothing_to_do(one_slot: Bench, lines: io.StringIO) -> None:
    assert one_slot.run(dispatch(one_slot)).status is Status.SUCCEEDED
    assert "crashed" not in [line["message"] for line in logged(lines)]


def test_a_pass_that_aws_does_not_answer_goes_on_in_a_minute(
    one_slot: Bench, outage: Outage
) -> None:
    waiting = dispatch(one_slot)

    def wait() -> None:
        one_slot.run(waiting)
        outage.begin("throttled", only="Query")

    during(one_slot, wait)
    outage.end()
    ((message, delay),) = wake_ups(one_slot)
    assert delay == 60
    one_slot.run_message(message)
    assert held() == [waiting.id]


def test_a_pass_whose_time_is_over_goes_on_by_a_message(bench: Bench) -> None:
    limits.put(QUEUE, slots=3)
    rows = held_rows(bench, 3)
    admission.admit_waiting(QUEUE, "*", bench.send, until=clock.now())
    assert admitted(bench, rows) == [True, False, False]
    ((message, delay),) = wake_ups(bench)
    assert delay == 0
    bench.run_message(message)
    assert admitted(bench, rows) == [True, True, True]


def happens_before_it_is_admitted(
    monkeypatch: pytest.MonkeyPatch, happens: Callable[[JobRequest], Any]
) -> None:
    """Have something happen between the look at the line and the write."""
    admit = transitions.admit

    def after_that(row: JobRequest, grant: Any) -> Change:
        monkeypatch.setattr(transitions, "admit", admit)
        happens(row)
        return admit(row, grant)

    monkeypatch.setattr(transitions, "admit", after_that)


@pytest.mark.parametrize(("code", "at_once"), [("TransactionConflict", 1), ("Throttling", 0)])
def test_a_pass_that_meets_another_write_looks_again_at_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, code: str, at_once: int
) -> None:
    """And not where AWS is away: then in a minute."""
    limits.put(QUEUE, slots=1)
    held_rows(bench, 1)

    def refuse(row: JobRequest) -> None:
        cause = ClientError({"Error": {"Code": code}}, "TransactWriteItems")
        raise TransactWriteError("not written", cause)

    happens_before_it_is_admitted(monkeypatch, refuse)
    admission.admit_waiting(QUEUE, "*", bench.send)
    assert len(bench.sent_jobs) == at_once
    assert [delay for _, delay in wake_ups(bench)] == [60] * (1 - at_once)


def test_one_that_is_canceled_as_it_is_admitted_keeps_nobody_waiting(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits.put(QUEUE, slots=1)
    first, second = held_rows(bench, 2)
    happens_before_it_is_admitted(monkeypatch, caller_actions.cancel)
    admission.admit_waiting(QUEUE, "*", bench.send)
    assert bench.read(first).status is Status.CANCELED
    assert bench.sent_jobs == [second.id]


def test_who_loses_a_slot_to_another_has_the_next(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits.put(QUEUE, slots=2)
    other = dispatch(bench)
    grant = lines.read_line(QUEUE, "*", limits.Limits(slots=2)).grant("")  # it saw nobody waiting
    entrance = transitions.Entrance(other, "*", grant)
    (row,) = held_rows(bench, 1)

    def claim(_: JobRequest) -> None:
        deadline = clock.now() + clock.MINUTE
        transitions.claim(
            other.id, job_type=other.job_type, send_id="s", deadline=deadline, entrance=entrance
        )

    happens_before_it_is_admitted(monkeypatch, claim)
    admission.admit_waiting(QUEUE, "*", bench.send)
    assert held() == [other.id, row.id]


# --- whose line it is -----------------------------------------------------------------------------


def has_failed(bench: Bench, row: JobRequest, **message: Any) -> None:
    """Let a failure record about an invocation that had the job's message arrive."""
    event = JobMessage.about(row)._asdict() | {"v": 1, "kind": "job"} | message
    failure_records.handle_record({"requestPayload": event}, bench.send)


@pytest.fixture
def queries(bench: Bench) -> list[str]:
    """Return what is noted of each query from here on."""
    limits.current(), pauses.current()  # which a process reads once in 10 s
    found: list[str] = []
    clients.client("dynamodb").meta.events.register(
        "before-call.dynamodb.Query", lambda **_: found.append("Query")
    )
    return found


def test_where_a_job_is_gone_its_message_tells_its_line(bench: Bench) -> None:
    limits.put(QUEUE, slots=1)
    row, (waiting,) = dispatch(bench), held_rows(bench, 1)
    row.delete()
    has_failed(bench, row)
    assert held() == [waiting.id]


def test_where_the_job_has_moved_to_another_queue_its_row_does(bench: Bench) -> None:
    limits.put(QUEUE, slots=1)
    row, (waiting,) = dispatch(bench), held_rows(bench, 1)
    has_failed(bench, row, queue_name="its queue before")
    assert held() == [waiting.id]


def test_where_its_queue_has_no_limits_no_line_is_read(bench: Bench, queries: list[str]) -> None:
    has_failed(bench, dispatch(bench))
    assert queries == []


def test_where_it_had_no_slot_no_line_is_read_at_its_end(bench: Bench, queries: list[str]) -> None:
    limits.put(QUEUE, rate=Rate(10, burst=10))
    limits.current()
    row = dispatch(bench)
    queries.clear()
    assert bench.run(row).status is Status.SUCCEEDED
    assert len(queries) == 1  # before its claim


# --- entries whose jobs wait no more --------------------------------------------------------------


def deleted(bench: Bench, row: JobRequest) -> None:
    row.delete()


def canceled_by_0_1_0(bench: Bench, row: JobRequest) -> None:
    """Cancel it, as code does that knows of pauses, and of no lines."""
    ended = [JobRequest.status.set(Status.CANCELED), JobRequest.finished_at.set(clock.now())]
    expiry = JobRequest.expires_at.set((clock.now() + clock.DAY) // clock.SECOND)
    row.update([*ended, expiry, JobRequest.held_by.remove(), JobRequest.due_at.remove()])


def canceled_by_0_1_0_and_retried(bench: Bench, row: JobRequest) -> None:
    canceled_by_0_1_0(bench, row)
    bench.advance(1)
    again = caller_actions.retry_again(bench.read(row), bench.send)
    line = f"line#{QUEUE}#*"
    transitions.hold_in_line(again, line, "*", group="", due_at=clock.now() + clock.DAY)


@pytest.mark.parametrize("happened", [deleted, canceled_by_0_1_0, canceled_by_0_1_0_and_retried])
def test_an_entry_whose_job_waits_there_no_more_keeps_nobody_waiting(
    bench: Bench, happened: Callable[[Bench, JobRequest], None]
) -> None:
    limits.put(QUEUE, slots=1)
    first, second = held_rows(bench, 2)
    happened(bench, bench.read(first))
    bench.sent.clear()
    admission.admit_waiting(QUEUE, "*", bench.send)
    assert held() == bench.sent_jobs == [second.id]


def test_a_pass_does_not_read_the_entries_again_that_it_has_removed(bench: Bench) -> None:
    limits.put(QUEUE, slots=4)
    rows = held_rows(bench, 4, groups="abab")
    bench.advance(2)
    deletes: list[str] = []
    clients.client("dynamodb").meta.events.register(
        "before-call.dynamodb.DeleteItem", lambda model, **_: deletes.append(model.name)
    )
    admission.admit_waiting(QUEUE, "*", bench.send)
    assert bench.sent_jobs == [row.id for row in rows]
    assert deletes == []  # the pass drops an entry whose job no longer waits


# --- slots that nobody has ------------------------------------------------------------------------


SAYS: dict[str, Callable[[JobRequest], Any]] = {
    "nothing": lambda row: row.delete(),
    "another slot": lambda row: row.update([JobRequest.slot.set(2)]),
    "a slot elsewhere": lambda row: row.update([JobRequest.concurrency_key.set("another")]),
}


@pytest.mark.parametrize("says", SAYS.values(), ids=SAYS)
def test_a_slot_that_its_holder_s_row_does_not_name_goes_to_the_next(
    one_slot: Bench, says: Callable[[JobRequest], Any]
) -> None:
    lost, waiting = dispatch(one_slot), dispatch(one_slot)
    during(one_slot, lambda: hold_in_order(one_slot, lost, waiting))
    assert held() == [lost.id]
    says(one_slot.read(lost))
    one_slot.advance(61)
    admission.admit_waiting(QUEUE, "*", one_slot.send)
    assert held() == [waiting.id]


@pytest.mark.parametrize("lost_first", [True, False])
def test_of_several_slots_that_one_is_looked_at_which_was_taken_first_and_by_the_timer_each(
    bench: Bench, lost_first: bool
) -> None:
    limits.put(QUEUE, slots=2)
    brief, second, third = held_rows(bench, 3)
    admission.admit_waiting(QUEUE, "*", bench.send)
    bench.run(brief)  # the third has slot 1 then, and has it for less time than the second slot 2
    assert held() == [third.id, second.id]
    lost = second if lost_first else third
    lost.update([JobRequest.status.set(Status.CANCELED), JobRequest.due_at.remove()])
    (waiting,) = held_rows(bench, 1)
    bench.advance(61)
    admission.admit_waiting(QUEUE, "*", bench.send)
    assert admitted(bench, [waiting]) == [lost_first]
    admission.admit_waiting(QUEUE, "*", bench.send, thorough=True)
    assert admitted(bench, [waiting]) == [True]


@pytest.mark.parametrize("runs", [False, True])
def test_the_failure_record_of_a_killed_worker_has_every_slot_of_the_line_checked(
    bench: Bench, runs: bool
) -> None:
    """Like the timer, because a killed worker may have left more than its own slot behind."""
    limits.put(QUEUE, slots=3)
    running, killed, lost = held_rows(bench, 3)
    admission.admit_waiting(QUEUE, "*", bench.send)
    for row in (running, killed):
        bench.claim(bench.read(row))
    if not runs:
        transitions.fail(bench.read(killed), {"kind": "A", "message": "b"})
    lost.update([JobRequest.status.set(Status.CANCELED), JobRequest.due_at.remove()])
    waiting = held_rows(bench, 2)
    bench.advance(61)
    has_failed(bench, killed, send_id=bench.read(killed).send_id)
    assert admitted(bench, waiting) == [True, True]
    assert len(held()) == 3
