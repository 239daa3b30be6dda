"""Tasks that failed for good: what is kept of them, once each, whatever AWS does meanwhile."""

import io
import json
from typing import Any

import pytest
from pynamodb.exceptions import PutError

from bench import Bench
from job_runners import clock
from job_runners.engine.dispatch.dispatch import accept_task
from job_runners.engine.running import execution
from job_runners.engine.running.failure_records import handle_record
from job_runners.engine.wire.messages import TaskMessage, encode
from job_runners.engine.wire.sending import CANNOT_SEND
from job_runners.store import failed_tasks
from job_runners.store.failed_tasks import FailedTask
from job_runners.testing.aws import forget
from sample_work import script
from telemetry_lines import SECRET, emitted, logged


def run(bench: Bench, message: TaskMessage) -> None:
    execution.run(message, deadline=clock.now() + 900_000, send=bench.send)


@pytest.fixture
def failing(bench: Bench) -> TaskMessage:
    """Return a task that fails whenever it is run."""

    def fail(payload: object) -> None:
        raise ValueError("no luck")

    script.task = fail
    return accept_task("sample_note", {"text": SECRET})


def kept() -> list[FailedTask]:
    """Return the failed tasks once their list shows all recent writes."""
    clock.sleep(2)
    return failed_tasks.newest(limit=100)


def test_what_failed_for_good_is_kept_for_a_week_without_its_payload(
    bench: Bench, failing: TaskMessage
) -> None:
    before = clock.now()
    run(bench, failing)
    (record,) = kept()
    assert (record.id, record.task_name, record.attempt) == (failing.id, "sample_note", 1)
    assert (record.error_kind, record.error_message) == ("ValueError", "no luck")
    assert before <= record.failed_at <= clock.now()
    assert SECRET not in json.dumps(record.to_dynamodb_dict())
    bench.advance(7 * 86400 + 1)
    assert kept() == []  # whether the table has deleted it or not


def test_its_payload_is_kept_where_that_is_asked_for(
    bench: Bench, failing: TaskMessage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEEP_TASK_PAYLOADS", "true")
    forget()
    run(bench, failing)
    (record,) = kept()
    assert record.payload is not None
    assert json.loads(record.payload) == {"text": SECRET}


@pytest.mark.usefixtures("on_lambda")
def test_a_failure_that_is_reported_again_is_one_record_and_counted_once(
    bench: Bench, failing: TaskMessage, capsys: pytest.CaptureFixture[str]
) -> None:
    record = {"requestPayload": json.loads(encode(failing)), "responsePayload": {}}
    run(bench, failing)
    handle_record(record, bench.send)  # the worker was cut off before it could return
    handle_record(record, bench.send)  # SQS hands a message out twice
    (only,) = kept()
    assert only.error_kind == "ValueError"  # as it was first said
    counted = [values["TasksFailed"] for _, values in emitted(capsys) if "TasksFailed" in values]
    assert counted == [1]


def test_a_task_that_is_tried_again_is_not_kept(bench: Bench, failing: TaskMessage) -> None:
    again = accept_task("sample_note_again", {})
    run(bench, again)
    assert kept() == []
    for _ in range(2):
        again = again.next_attempt()
        run(bench, again)
    assert [(record.id, record.attempt) for record in kept()] == [(again.id, 3)]


def test_a_task_that_nothing_can_send_again_is_kept(bench: Bench, failing: TaskMessage) -> None:
    """A runner of one's own need not be able to send: its worker runs a task then without."""
    again = accept_task("sample_note_again", {})
    execution.run(again, deadline=clock.now() + 900_000, send=CANNOT_SEND)
    assert [(record.id, record.attempt) for record in kept()] == [(again.id, 1)]


def test_the_newest_are_read_first_page_by_page(bench: Bench, failing: TaskMessage) -> None:
    ids = []
    for _ in range(5):
        message = accept_task("sample_note", {})
        run(bench, message)
        ids.append(message.id)
        bench.advance(2)
    first = [record.id for record in failed_tasks.newest(limit=2)]
    rest = [record.id for record in failed_tasks.newest(limit=100, before=first[-1])]
    assert first + rest == ids[::-1]


@pytest.mark.usefixtures("on_lambda")
def test_a_table_that_is_away_costs_the_record_alone(
    bench: Bench,
    failing: TaskMessage,
    monkeypatch: pytest.MonkeyPatch,
    lines: io.StringIO,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def away(*args: Any, **named: Any) -> None:
        raise PutError("no table")

    monkeypatch.setattr(FailedTask, "save", away)
    run(bench, failing)
    said = [line["message"] for line in logged(lines)]
    assert said == ["task failed", "failed task not kept"]
    assert ("", {"TasksFailed": 1.0}) in list(emitted(capsys))
