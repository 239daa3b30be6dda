"""What follows from a transition, whoever makes it."""

from typing import Any

import pytest

from bench import Bench
from job_runners.engine.lines import admission
from job_runners.engine.running import failure_records
from job_runners.engine.settling import error_groups
from job_runners.engine.settling.settle import settle, transition
from job_runners.engine.telemetry import telemetry
from job_runners.engine.wire.messages import JobMessage
from job_runners.engine.wire.sending import CANNOT_SEND, Send
from job_runners.store import transitions
from job_runners.store.conditional_write import Change
from job_runners.store.job_request import JobRequest, Status
from job_runners.testing.aws import forget
from sample_work import script


def event(row: JobRequest, send_id: str | None) -> dict[str, Any]:
    """Return the failure record of a message that led to the row's claim."""
    message = JobMessage.about(row)._replace(send_id=str(send_id))
    return {"requestPayload": message._asdict() | {"v": 1, "kind": "job"}}


def test_a_transition_leaves_the_row_that_it_was_given_as_it_was_read(bench: Bench) -> None:
    claimed = bench.claim(bench.dispatch("sample_once"))
    before = dict(claimed.attribute_values)
    change = transitions.succeed(claimed, {"n": 1})
    assert change.before is claimed
    assert claimed.attribute_values == before
    assert (claimed.status, change.after.status) == (Status.RUNNING, Status.SUCCEEDED)


def test_a_failure_that_its_worker_has_counted_is_not_counted_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The failures function can't know whether the worker was killed before it counted."""
    script.job = lambda job, payload: 1 / 0
    counted: list[str] = []
    monkeypatch.setattr(error_groups, "count_failure", lambda row: counted.append(row.id))
    row = bench.run(bench.dispatch("sample_once"))
    failure_records.handle_record(event(row, row.send_id), bench.send)
    assert (row.status, counted) == (Status.FAILED, [row.id])


def test_a_transition_whose_answer_is_lost_is_settled_before_its_error_is_raised(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = bench.dispatch("sample_once")
    settled: list[Change] = []
    monkeypatch.setattr(
        "job_runners.engine.settling.settle.settle", lambda change, *_, **__: settled.append(change)
    )

    def unheard() -> Change:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        transition(unheard, row, bench.send)
    assert [(each.after, each.is_known) for each in settled] == [(row, False)]


def test_a_change_of_nothing_sends_nothing_and_reads_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = bench.dispatch("sample_once")
    bench.sent.clear()
    monkeypatch.setattr(JobRequest, "_get_connection", lambda: 1 / 0)
    settle(Change(row, row), bench.send)
    assert bench.sent == []


def test_a_follower_that_an_end_admits_is_sent_and_not_logged_as_a_follow_up(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBS_PACKAGES", "sample_work,unique_sample")
    forget()
    logged: list[str] = []
    monkeypatch.setattr(telemetry, "follow_up_saved", lambda row: logged.append(row.id))
    first = bench.claim(bench.dispatch("unique_follow", payload={"lot": "a", "text": "old"}))
    follower = bench.dispatch("unique_follow", payload={"lot": "a", "text": "new"})
    bench.sent.clear()
    settle(transitions.succeed(first, None), bench.send)
    assert bench.read(follower).status is Status.QUEUED
    assert (bench.sent_jobs, logged) == ([follower.id], [])


def test_a_follow_up_that_an_end_saves_is_sent_and_logged(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBS_PACKAGES", "sample_work,follow_up_sample")
    forget()
    logged: list[str] = []
    monkeypatch.setattr(telemetry, "follow_up_saved", lambda row: logged.append(row.id))
    bench.run(bench.dispatch("sample_once", on_end="note_end"))
    (sent,) = bench.sent_jobs
    assert logged == [sent]


def row(status: Status = Status.QUEUED, **fields: Any) -> JobRequest:
    """Return a row as a process might have read it."""
    return JobRequest(id="i", status=status, queue_name="q", **fields)


@pytest.mark.parametrize(
    ("before", "after", "checked"),
    [
        (row(concurrency_key="a", slot=1), row(concurrency_key="a"), ("q", "a")),
        # another payload moves it: the line that it leaves has a free slot
        (row(concurrency_key="a", slot=1), row(concurrency_key="b"), ("q", "a")),
        # its queue had no limits when it was dispatched
        (row(), row(Status.WAITING, concurrency_key="b", wait_key="w"), ("q", "b")),
        (
            row(concurrency_key="a", wait_key="w"),
            row(Status.CANCELED, concurrency_key="a"),
            ("q", "a"),
        ),
        (row(concurrency_key="a", wait_key="w"), row(Status.FAILED, concurrency_key="a"), None),
        (row(concurrency_key="a", slot=1), row(concurrency_key="a", slot=1), None),
        (row(slot=1), row(), None),
    ],
)
def test_a_line_is_checked_if_the_slot_or_the_position_of_its_job_has_changed(
    monkeypatch: pytest.MonkeyPatch, before: JobRequest, after: JobRequest, checked: Any
) -> None:
    monkeypatch.setattr(error_groups, "count_failure", lambda _: None)
    lines = checked_lines(monkeypatch)
    settle(Change(before, after), CANNOT_SEND)
    assert lines == ([] if checked is None else [(*checked, False)])


def test_a_process_that_stands_in_for_a_killed_one_checks_the_line_in_any_case(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = checked_lines(monkeypatch)
    same = row(concurrency_key="a", slot=1)
    settle(Change(same, same), CANNOT_SEND, thorough=True)
    assert lines == [("q", "a", True)]


def checked_lines(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, bool]]:
    """Return a list of the lines that are checked from now on, and whether thoroughly."""
    lines: list[tuple[str, str, bool]] = []

    def admit_waiting(queue_name: str, key: str, send: Send, *, thorough: bool) -> None:
        lines.append((queue_name, key, thorough))

    monkeypatch.setattr(admission, "admit_waiting", admit_waiting)
    return lines
