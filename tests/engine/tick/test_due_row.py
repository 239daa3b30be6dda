"""What the timer does with a due row follows from the row, its type, its queue and the pauses."""

from typing import Any

import pytest

from bench import Bench
from job_runners import clock
from job_runners.engine.lines.admission import LineAdmissions
from job_runners.engine.tick import due_row
from job_runners.engine.tick.due_row import Disposition
from job_runners.store import limits, pauses
from job_runners.store.job_request import ROW_VERSION, JobRequest, Lane, Status, due_shard
from job_runners.store.pauses import Kind


@pytest.fixture(autouse=True)
def start_within(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let jobs start within an hour."""
    monkeypatch.setattr(due_row, "_start_within", lambda row: 3600.0)


def due(lane: Lane = Lane.PROMPT, **changes: Any) -> JobRequest:
    """Store a due row of a job that was queued a minute ago, with these fields."""
    fields: dict[str, Any] = {
        "job_type": "sample_again",
        "queue_name": "default",
        "organization_id": "acme",
        "status": Status.QUEUED,
        "created_at": clock.now() - clock.MINUTE,
        "updated_at": clock.now() - clock.MINUTE,
        "due_at": clock.now(),
        "due_shard": due_shard("job", lane),
    }
    row = JobRequest(id="job", created_key="job", **fields | changes)
    row.save()
    return row


class NoMessageLeft:
    """A budget that is used up."""

    def take(self, row: JobRequest, *, even_if_empty: bool) -> bool:
        return even_if_empty


def handled(bench: Bench, row: JobRequest, **options: Any) -> tuple[Disposition, int, str]:
    """Handle a row, and return the outcome, the time until its next check, and its lane."""
    now = clock.now()
    options = {"budget": None, "until": now} | options
    lines = LineAdmissions(bench.send, until=now)
    outcome = due_row.process_due_row(row, bench.send, admissions=lines, **options)
    after = bench.read(row)
    return outcome, (after.due_at or 0) - now, str(after.due_shard)[:-1]


@pytest.mark.parametrize("lane", [Lane.PROMPT, Lane.RESENT])
def test_a_queued_row_is_sent(still: Bench, lane: Lane) -> None:
    assert handled(still, due(lane)) == (Disposition.SENT, clock.MINUTE, "resent-")
    assert still.sent_jobs == ["job"]


def test_without_a_message_left_only_a_row_that_was_never_sent_is_sent(still: Bench) -> None:
    again = handled(still, due(Lane.RESENT), budget=NoMessageLeft())
    # By the start deadline, so that the backlog is in that order.
    assert again == (Disposition.DEFERRED, 59 * clock.MINUTE, "queued-")
    first = handled(still, due(Lane.PROMPT), budget=NoMessageLeft())
    assert first == (Disposition.SENT, clock.MINUTE, "resent-")


@pytest.mark.parametrize(
    ("minutes", "outcome"), [(59, Disposition.SENT), (61, Disposition.EXPIRED)]
)
def test_a_row_may_start_late_from_the_time_it_was_scheduled_for(
    still: Bench, minutes: int, outcome: Disposition
) -> None:
    row = due(
        status=Status.SCHEDULED,
        created_at=clock.now() - clock.DAY,
        run_at=clock.now() - minutes * clock.MINUTE,
    )
    assert handled(still, row)[0] is outcome
    if outcome is Disposition.EXPIRED:
        assert still.read("job").error["message"].endswith("within 3600 s of being queued.")


def test_a_paused_row_is_held(still: Bench) -> None:
    pauses.pause(Kind.QUEUE, "default")
    assert handled(still, due())[0] is Disposition.HELD
    assert still.read("job").held_by == "queue#default"


@pytest.mark.parametrize("changes", [{"job_type": "gone"}, {"row_version": ROW_VERSION + 1}])
def test_a_paused_row_that_this_deploy_cannot_start_is_only_checked_later(
    still: Bench, changes: dict[str, Any]
) -> None:
    pauses.pause(Kind.QUEUE, "default")
    assert handled(still, due(**changes)) == (Disposition.UNKNOWN, clock.MINUTE, "held-")


def admitted(**changes: Any) -> JobRequest:
    """Store a row that was admitted an hour ago, in a queue with limits."""
    limits.put("default", slots=1)
    hour_ago = clock.now() - clock.HOUR
    return due(admitted_at=hour_ago, concurrency_key="*", invocations=1, **changes)


def test_a_row_of_an_unknown_type_gives_up_a_slot_that_it_does_not_use(still: Bench) -> None:
    assert handled(still, admitted(job_type="gone"))[0] is Disposition.HELD
    assert still.read("job").admitted_at == clock.now()  # no other job waits, so it is admitted


def test_a_row_of_newer_code_keeps_its_slot(still: Bench) -> None:
    outcome, _, lane = handled(still, admitted(row_version=ROW_VERSION + 1))
    assert (outcome, lane) == (Disposition.UNKNOWN, "held-")
    assert still.read("job").admitted_at is not None


def test_a_running_row_is_rescued_after_its_lease(still: Bench) -> None:
    fields: dict[str, Any] = {
        "status": Status.RUNNING,
        "claim_token": "t",
        "started_at": clock.now(),
    }
    leased = due(**fields, lease_until=clock.now())
    assert handled(still, leased) == (Disposition.LEASED, 0, "")
    over = due(**fields, lease_until=clock.now() - 1)
    assert handled(still, over)[0] is Disposition.RESCUED


@pytest.mark.parametrize(("minutes", "next_check"), [(50, 10), (60, 60)])
def test_an_admitted_row_is_checked_when_it_loses_its_capacity(
    still: Bench, minutes: int, next_check: int
) -> None:
    """After that, it is checked hourly if its queue no longer has limits."""
    now = clock.now()
    row = due(created_at=now - clock.DAY, admitted_at=now - minutes * clock.MINUTE, invocations=1)
    assert handled(still, row) == (Disposition.SENT, next_check * clock.MINUTE, "resent-")


@pytest.mark.parametrize("status", [Status.RUNNING, Status.WAITING, Status.QUEUED])
def test_only_unclaimed_rows_are_handled_before_their_time(still: Bench, status: Status) -> None:
    row = due(status=status, due_at=clock.now() + 1)
    outcome, *_ = handled(still, row, early_by=clock.MINUTE)
    assert (outcome is Disposition.MOVED) == (status is not Status.QUEUED)


def test_a_row_that_waits_for_a_signal_is_left_alone_until_its_time_is_over(still: Bench) -> None:
    wait = {"kind": "signal", "name": "a", "names": ["a"], "since": 0, "until": clock.now() + 1}
    fields: dict[str, Any] = {"status": Status.WAITING, "held_by": "signal#a", "waiting_since": 0}
    row = due(**fields, current_wait=wait)
    assert handled(still, row) == (Disposition.HELD, 1, "waits-")
    row = due(**fields, current_wait=wait | {"until": clock.now()})
    assert handled(still, row)[0] is Disposition.ADMITTED
    assert still.read("job").status is Status.QUEUED


def test_a_row_whose_group_takes_too_long_expires_unless_it_is_canceled_with_its_members(
    still: Bench,
) -> None:
    until = clock.now()
    wait = {"kind": "group", "name": "all", "names": [], "since": 0, "until": until, "shards": 1}
    fields: dict[str, Any] = {"status": Status.WAITING, "held_by": "group#a", "current_wait": wait}
    assert handled(still, due(**fields))[0] is Disposition.EXPIRED
    handled(still, due(**fields, cancel_members=True))
    assert still.read("job").status is Status.CANCELED
