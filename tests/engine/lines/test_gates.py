"""What stands before a claim, a pause or the limits of a queue, and a message that comes late, or
twice, or whose claim nobody hears of."""

import io
from typing import Any

import pytest

from bench import Bench
from job_runners import clock
from job_runners.engine.control import caller_actions
from job_runners.engine.lines import pausing
from job_runners.engine.running import failure_records
from job_runners.engine.wire.messages import JobMessage
from job_runners.store import limits, pauses, transitions
from job_runners.store import lines as store_lines
from job_runners.store.job_request import Status
from job_runners.store.pauses import Kind
from job_runners.store.rate import Rate
from limited_queue import QUEUE, dispatch, during, held, hold_in_order, items
from outage import Outage
from sample_work import script
from telemetry_lines import logged

GATES = ["none", "a pause elsewhere", "limits"]


@pytest.fixture(params=GATES)
def gate(bench: Bench, request: pytest.FixtureRequest) -> str:
    """Put up a gate that is open."""
    match request.param:
        case "a pause elsewhere":
            pausing.pause(Kind.QUEUE, "another")
        case "limits":
            limits.put(QUEUE, slots=1)
    return str(request.param)


def test_a_job_that_was_deleted_is_nothing_to_do(
    bench: Bench, gate: str, lines: io.StringIO
) -> None:
    row = dispatch(bench)
    row.delete()
    bench.run_message(JobMessage.about(row))
    assert logged(lines)[-1]["message"] == "not claimed"
    assert bench.sent == []


def test_a_job_whose_time_has_come_starts(bench: Bench, gate: str) -> None:
    row = dispatch(bench, delay=60)
    bench.advance(60)
    assert bench.run(row).status is Status.SUCCEEDED


def test_a_claim_that_nobody_heard_of_is_one(bench: Bench, gate: str, outage: Outage) -> None:
    row = dispatch(bench)
    writes = "TransactWriteItems" if gate == "limits" else "UpdateItem"
    outage.begin("unheard", 1, only=writes)
    assert bench.run(row).status is Status.SUCCEEDED
    assert outage.calls
    assert script.jobs_run == [(row.id, 1, 1)]


def test_a_claim_that_nobody_heard_of_and_that_has_ended_since_is_none(
    one_slot: Bench, outage: Outage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another delivery of its message died, and the record of that was taken for this claim's."""
    row = dispatch(one_slot, job_type="sample_once")
    message = JobMessage.about(row)

    def settle(seconds: float) -> None:
        one_slot.advance(seconds)
        outage.end()
        event = message._asdict() | {"v": 1, "kind": "job"}
        failure_records.handle_record({"requestPayload": event}, one_slot.send)

    monkeypatch.setattr(clock, "sleep", settle)
    outage.begin("unheard", only="TransactWriteItems")
    one_slot.run_message(message)
    assert one_slot.read(row).status is Status.FAILED
    assert script.jobs_run == []


def test_a_message_that_comes_twice_begins_one_run(bench: Bench, gate: str) -> None:
    row, seen = dispatch(bench), []
    during(bench, lambda: seen.append(bench.run(row).status), row)
    assert seen == [Status.RUNNING]
    assert bench.run(row).status is Status.SUCCEEDED
    assert len(script.jobs_run) == 1
    assert bench.sent == []


def test_a_message_that_comes_late_or_early_has_nobody_wait_where_there_is_no_room(
    one_slot: Bench,
) -> None:
    finished, early = one_slot.run(dispatch(one_slot)), dispatch(one_slot, delay=600)
    seen: list[Status] = []
    during(one_slot, lambda: seen.extend(one_slot.run(row).status for row in (finished, early)))
    assert seen == [Status.SUCCEEDED, Status.SCHEDULED]
    assert items("wait#") == []


def test_who_loses_the_last_slot_to_another_waits(
    one_slot: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    row, other = dispatch(one_slot), dispatch(one_slot)
    read_line = store_lines.read_line

    def read_before_another_claims(*asked: Any) -> store_lines.Line:
        monkeypatch.setattr(store_lines, "read_line", read_line)
        line = read_line(*asked)
        entrance = transitions.Entrance(other, "*", line.grant(""))
        transitions.claim(
            other.id,
            job_type=other.job_type,
            send_id="s",
            deadline=clock.now() + clock.MINUTE,
            entrance=entrance,
        )
        return line

    monkeypatch.setattr(store_lines, "read_line", read_before_another_claims)
    assert one_slot.run(row).status is Status.WAITING
    assert held() == [other.id]


def test_who_waits_for_a_slot_is_looked_at_in_an_hour(one_slot: Bench) -> None:
    row, seen = dispatch(one_slot), []
    during(one_slot, lambda: seen.append(one_slot.run(row)))
    assert seen[0].status is Status.WAITING
    assert clock.HOUR - clock.MINUTE < (seen[0].due_at or 0) - clock.now() <= clock.HOUR


def test_who_waits_longest_is_next_whatever_its_organisation(one_slot: Bench) -> None:
    """Unless the queue is declared to be fair."""
    rows = [dispatch(one_slot, organization_id=name) for name in ("acme", "zulu")]
    during(one_slot, lambda: hold_in_order(one_slot, *rows))
    assert one_slot.sent_jobs == [rows[0].id]


# --- the end of a pause ---------------------------------------------------------------------------


def test_an_entry_that_was_left_lets_nobody_past_a_line(bench: Bench) -> None:
    """The entry of a canceled job is back, as after a restore; retried, that is in a line now."""
    pausing.pause(Kind.QUEUE, QUEUE)
    row = bench.run(dispatch(bench))
    (entry,) = pauses.held_entries(next(pauses.current().paused()), 1)
    caller_actions.cancel(row)
    entry.save()
    pauses.resume(Kind.QUEUE, QUEUE)
    limits.put(QUEUE, slots=1)
    again = caller_actions.retry_again(bench.read(row), bench.send)
    bench.sent.clear()

    def let_go() -> None:
        assert bench.run(again).status is Status.WAITING
        assert pausing.admit_held(bench.send, until=clock.now() + clock.MINUTE, limit=25) == 0
        assert list(pauses.held_entries(pauses.Pause(sk=f"queue#{QUEUE}"), 1)) == []
        assert bench.sent == []

    during(bench, let_go)


@pytest.mark.parametrize(
    ("kind", "name"), [(Kind.QUEUE, "default"), (Kind.JOB_TYPE, "sample_once")]
)
def test_a_resume_has_no_lines_looked_at_where_there_are_none(
    bench: Bench, kind: Kind, name: str
) -> None:
    """Not those of a queue either that has the name of a job type."""
    limits.put("sample_once", rate=Rate(1))
    pausing.pause(kind, name)
    pausing.resume(kind, name, bench.send)
    assert pauses.current(fresh=True).find(kind, name) is None
    changed = limits.current(fresh=True)
    assert changed.keys() == {"sample_once"}
    assert changed["sample_once"].sweep_from is None
