"""Who holds a job, or admits it, does that to the row as it was read, and once."""

from collections.abc import Callable
from itertools import count

import pytest

import job_rows
from bench import Bench
from job_runners import clock
from job_runners.engine.lines import pausing
from job_runners.errors import PreconditionFailed
from job_runners.store import caller_transitions, lines, transitions
from job_runners.store.job_request import JobRequest, Status
from job_runners.store.limits import Limits
from job_runners.store.line_items import LineItem
from job_runners.store.pauses import Kind
from job_runners.store.rate import Rate
from lost_answers import land_in_conflict, lose_next_answer

PLACE = lines.partition_key_of("default", "*")


def hold(row: JobRequest) -> JobRequest:
    return transitions.hold(
        row, pausing.pause(Kind.JOB_TYPE, row.job_type), due_at=clock.now() + 5
    ).after


def hold_by_queue(row: JobRequest) -> JobRequest:
    return transitions.hold(
        row, pausing.pause(Kind.QUEUE, row.queue_name), due_at=clock.now() + 5
    ).after


def hold_in_line(row: JobRequest) -> JobRequest:
    return transitions.hold_in_line(row, PLACE, "*", group="", due_at=clock.now() + 5).after


def restore_entry(row: JobRequest) -> JobRequest:
    return transitions.restore_entry(row, due_at=clock.now() + clock.HOUR).after


def saved() -> JobRequest:
    return job_rows.stored(job_rows.saved(concurrency_key="*"))


def held() -> JobRequest:
    return job_rows.stored(hold(saved()))


def admitted(row: JobRequest, limits: Limits) -> JobRequest:
    line = lines.read_line("default", "*", limits)
    return job_rows.stored(transitions.admit(row, line.grant("")).after)


def running_in_slot() -> JobRequest:
    row = admitted(held_in_line(), Limits(slots=1))
    return transitions.claim(
        row.id,
        job_type=row.job_type,
        send_id="s",
        deadline=clock.now() + clock.MINUTE,
        entrance=transitions.Entrance(row, "*"),
    ).after


def held_in_line() -> JobRequest:
    return job_rows.stored(hold_in_line(saved()))


def drop_entry(row: JobRequest) -> None:
    LineItem(row.held_by, row.wait_key).delete()


def set_aside() -> JobRequest:
    row = held_in_line()
    drop_entry(row)
    return row


@pytest.mark.parametrize("conflicts", [0, 2])
@pytest.mark.parametrize(
    ("row_of", "does", "status"),
    [
        (saved, hold, Status.WAITING),
        (saved, hold_in_line, Status.WAITING),
        (held, lambda row: transitions.admit(row).after, Status.QUEUED),
        (set_aside, restore_entry, Status.WAITING),
        (running_in_slot, lambda row: transitions.succeed(row, 1).after, Status.SUCCEEDED),
        (running_in_slot, lambda row: transitions.fail(row, job_rows.ERROR).after, Status.FAILED),
    ],
)
def test_one_whose_answer_is_lost_has_been(
    still: Bench,
    monkeypatch: pytest.MonkeyPatch,
    row_of: Callable[[], JobRequest],
    does: Callable[[JobRequest], JobRequest],
    status: Status,
    conflicts: int,
) -> None:
    row = row_of()
    if conflicts:
        land_in_conflict(monkeypatch, conflicts)
        assert does(row).status is status
        return
    lost = lose_next_answer("TransactWriteItems")
    assert does(row).status is status
    assert lost == ["TransactWriteItems"]


def test_one_that_is_admitted_to_a_slot_without_an_answer_has_been(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise, no message would be sent for it. The time of the admission identifies it."""
    row = job_rows.stored(hold_in_line(saved()))
    grant = lines.read_line("default", "*", Limits(slots=1)).grant("")
    moments = count(clock.now())
    monkeypatch.setattr(clock, "now", lambda: next(moments))
    land_in_conflict(monkeypatch, 2)
    assert transitions.admit(row, grant).after.slot == 1


@pytest.mark.parametrize("does", [hold_by_queue, hold_in_line])
def test_a_job_that_waits_by_now_is_not_held_elsewhere(
    bench: Bench, does: Callable[[JobRequest], JobRequest]
) -> None:
    seen = saved()
    there = hold(job_rows.stored(seen))
    bench.advance(1)
    with pytest.raises(PreconditionFailed):
        does(seen)
    assert job_rows.stored(seen).held_by == there.held_by


def test_a_job_that_runs_is_not_admitted(bench: Bench) -> None:
    running = job_rows.stored(job_rows.claimed())
    with pytest.raises(PreconditionFailed):
        transitions.admit(running)
    assert job_rows.stored(running).status is Status.RUNNING


def test_a_job_that_another_admitted_and_that_has_run_since_was_not_admitted_by_this(
    bench: Bench,
) -> None:
    seen = held()
    running = job_rows.claimed(transitions.admit(job_rows.stored(seen)).after)
    transitions.end_invocation(running, transitions.Checkpoint("here", 40, None))
    with pytest.raises(PreconditionFailed, match="queued"):
        transitions.admit(seen)


def listed_by_another_tick(row: JobRequest) -> None:
    restore_entry(row)
    drop_entry(row)  # and set aside once more


def held_anew(row: JobRequest) -> None:
    again = hold_in_line(transitions.admit(row).after)
    drop_entry(again)
    again.update([JobRequest.due_at.set(row.due_at)])


@pytest.mark.parametrize("happened", [listed_by_another_tick, held_anew])
def test_a_job_that_has_moved_on_is_not_listed_at_its_old_place(
    bench: Bench, happened: Callable[[JobRequest], None]
) -> None:
    seen = set_aside()
    bench.advance(1)
    happened(job_rows.stored(seen))
    bench.advance(1)
    with pytest.raises(PreconditionFailed):
        restore_entry(seen)


def test_a_job_that_is_admitted_in_another_slot_takes_that_to_no_end_unseen(still: Bench) -> None:
    """It gave back the slot that it had, and got another, all in one millisecond: who knows of the
    first alone would end the job, and leave it the second."""
    two = Limits(slots=2)
    first, other = (job_rows.stored(hold_in_line(saved())) for _ in range(2))
    seen = admitted(first, two)
    again = job_rows.stored(hold_in_line(job_rows.stored(seen)))
    admitted(other, two)
    assert (seen.slot, admitted(again, two).slot) == (1, 2)
    with pytest.raises(PreconditionFailed):
        caller_transitions.cancel(seen)
    assert job_rows.stored(seen).status is Status.QUEUED


def test_a_job_that_has_paid_its_rate_is_not_held_as_one_that_has_not(bench: Bench) -> None:
    seen = saved()
    admitted(job_rows.stored(hold_in_line(job_rows.stored(seen))), Limits(rate=Rate(1, seconds=60)))
    with pytest.raises(PreconditionFailed):
        hold_in_line(seen)
    assert job_rows.stored(seen).status is Status.QUEUED
