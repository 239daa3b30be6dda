"""A failed task that is sent again begins once, whatever is lost, repeated or away meanwhile."""

import io
import json
from collections.abc import Callable
from typing import Any

import pytest

from bench import Bench
from job_runners import clock
from job_runners.aws.errors import AWS_ERRORS
from job_runners.engine import configured
from job_runners.engine.control.redriving import redrive
from job_runners.engine.dispatch.dispatch import accept_task
from job_runners.engine.registry.errors import (
    CannotBegin,
    FailedTaskNotFound,
    MaybeNotRedriven,
    PayloadNotKept,
)
from job_runners.engine.running import execution
from job_runners.engine.running.failure_records import handle_record
from job_runners.engine.wire.messages import TaskMessage, encode
from job_runners.engine.wire.sending import CANNOT_SEND, Send
from job_runners.errors import (
    InvalidPayload,
    RetryAfter,
    RunnerCannotResend,
    SendFailed,
    UnknownTask,
)
from job_runners.store import failed_tasks
from job_runners.store.failed_tasks import FailedTask
from job_runners.testing.aws import forget
from job_runners.testing.plain_clients import every_row
from outage import Outage
from sample_work import failing, script
from telemetry_lines import logged


@pytest.fixture(autouse=True)
def kept_payloads(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEEP_TASK_PAYLOADS", "true")
    forget()
    monkeypatch.setattr(configured, "sender", lambda: bench.send)


@pytest.fixture
def failed(bench: Bench) -> str:
    """Return the id of a task that failed for good, and that would not fail again."""
    return fail(bench)


def fail(bench: Bench, name: str = "sample_note") -> str:
    def raise_an_error(payload: object) -> None:
        raise ValueError("no luck")

    script.task = raise_an_error
    message = accept_task(name, {"text": "dear"})
    run(bench, message)
    script.reset()
    return message.id


def run(bench: Bench, message: TaskMessage) -> None:
    execution.run(message, deadline=clock.now() + 900_000, send=bench.send)


def kept() -> list[FailedTask]:
    """Return the failed tasks once their list shows all recent writes."""
    clock.sleep(2)
    return failed_tasks.newest(limit=100)


def record_of(message: TaskMessage, error_type: str | None = None) -> dict[str, Any]:
    """Return what Lambda records of an invocation that ended so, or was cut off."""
    response = {"errorMessage": "it ended"} | ({"errorType": error_type} if error_type else {})
    return {"requestPayload": json.loads(encode(message)), "responsePayload": response}


def test_it_runs_under_a_new_id_with_what_it_was_given_and_is_no_longer_listed(
    bench: Bench, failed: str, lines: io.StringIO
) -> None:
    message = redrive(failed)
    (record,) = kept()
    assert (record.id, record.redriven_as, record.attempt) == (failed, message.id, 1)
    assert record.redriven_at is not None
    assert bench.deliver() == 1
    assert "not begun: another message has" not in [line["message"] for line in logged(lines)]
    assert [payload.text for payload in script.tasks_run] == ["dear"]
    assert kept() == []
    (rest,) = every_row(FailedTask)
    assert rest.payload is None  # nobody needs it any more
    with pytest.raises(FailedTaskNotFound, match="It has started again"):
        redrive(failed)
    assert message.id != failed


def test_sent_again_by_two_it_has_one_id_and_begins_once(bench: Bench, failed: str) -> None:
    first, second = redrive(failed), redrive(failed)
    assert first.id == second.id
    assert bench.deliver() == 2
    assert len(script.tasks_run) == 1


def test_one_that_begins_meanwhile_is_not_sent_again(
    bench: Bench, failed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = redrive(failed)

    def begin_first() -> Send:
        run(bench, first)
        return bench.send

    monkeypatch.setattr(configured, "sender", begin_first)
    with pytest.raises(FailedTaskNotFound, match="It has started again"):
        redrive(failed)
    assert bench.sent == [(first, 0)]


def test_a_message_that_outlives_its_record_begins_nothing(bench: Bench, failed: str) -> None:
    """It may have lain among the dead letters: whether it has begun before, nobody knows."""
    redrive(failed)
    (record,) = kept()
    record.delete()
    bench.deliver()
    assert not script.tasks_run


def test_if_it_fails_again_it_is_listed_under_its_new_id_and_may_be_sent_once_more(
    bench: Bench, failed: str
) -> None:
    def fail_again(payload: object) -> None:
        raise ValueError("still no luck")

    script.task = fail_again
    message = redrive(failed)
    bench.deliver()
    (record,) = kept()
    assert (record.id, record.error_message) == (message.id, "still no luck")
    script.reset()
    redrive(record.id)
    bench.deliver()
    assert len(script.tasks_run) == 1
    assert kept() == []


def test_its_own_retries_need_no_leave(bench: Bench) -> None:
    failed = accept_task("sample_note_again", {})
    for _ in range(3):
        script.task = failing
        run(bench, failed)
        failed = failed.next_attempt()
    bench.sent.clear()
    asked: list[int] = []

    def wait_once(payload: object) -> None:
        asked.append(1)
        if len(asked) == 1:
            raise RetryAfter(5)

    script.task = wait_once
    redrive(failed.id)
    assert bench.deliver() == 2
    assert len(asked) == 2
    assert kept() == []


def test_nothing_is_sent_of_a_task_whose_payload_was_not_kept(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KEEP_TASK_PAYLOADS")
    forget()
    failed = fail(bench)
    with pytest.raises(PayloadNotKept, match="KeepTaskPayloads=true"):
        redrive(failed)
    assert bench.sent == []
    assert kept()[0].redriven_at is None


def test_what_is_refused_now_stays_as_it_was(
    bench: Bench, failed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for changes, error in (
        ({"payload": b'{"number": -1}'}, InvalidPayload),
        ({"task_name": "sample_gone"}, UnknownTask),
    ):
        (record,) = kept()
        record.update([getattr(FailedTask, name).set(to) for name, to in changes.items()])
        with pytest.raises(error):
            redrive(failed)
    monkeypatch.setattr(configured, "sender", lambda: CANNOT_SEND)
    with pytest.raises(RunnerCannotResend, match="failed and must be sent again"):
        redrive(failed)
    assert bench.sent == []
    assert kept()[0].redriven_at is None


def test_if_it_did_not_leave_it_stays_and_may_be_sent_again(
    bench: Bench, failed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(message: object, delay: float = 0) -> None:
        raise SendFailed("it", "away")

    monkeypatch.setattr(configured, "sender", lambda: refuse)
    with pytest.raises(MaybeNotRedriven):
        redrive(failed)
    assert [record.id for record in kept()] == [failed]
    monkeypatch.setattr(configured, "sender", lambda: bench.send)
    redrive(failed)
    bench.deliver()
    assert len(script.tasks_run) == 1


@pytest.mark.parametrize("kind", Outage.KINDS)
def test_while_the_table_is_away_nothing_is_sent(
    bench: Bench, failed: str, outage: Outage, kind: str
) -> None:
    outage.begin(kind, only="UpdateItem")
    with pytest.raises(AWS_ERRORS):
        redrive(failed)
    assert bench.sent == []
    outage.end()
    redrive(failed)
    bench.deliver()
    assert len(script.tasks_run) == 1


def test_a_record_that_was_sent_again_outlasts_its_message(bench: Bench, failed: str) -> None:
    bench.advance(6 * 86400)
    redrive(failed)
    bench.advance(2 * 86400)
    bench.deliver()
    assert len(script.tasks_run) == 1


# --- the worker's end -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", Outage.KINDS)
def test_a_worker_that_can_not_ask_leaves_it_to_be_sent_once_more(
    bench: Bench, failed: str, outage: Outage, kind: str
) -> None:
    message = redrive(failed)
    other = redrive(failed)
    bench.sent.clear()
    outage.begin(kind)
    with pytest.raises(CannotBegin):
        run(bench, message)
    outage.end()
    handle_record(record_of(message, "CannotBegin"), bench.send)
    assert bench.sent == [(message, 60.0)]  # as it was: if it had begun unheard, it still has
    bench.deliver()
    run(bench, other)
    assert len(script.tasks_run) == 1
    assert kept() == []


def test_a_worker_that_is_refused_leaves_it_to_a_person(
    bench: Bench, failed: str, outage: Outage
) -> None:
    """It would be refused each minute."""
    message = redrive(failed)
    outage.begin("refused", only="UpdateItem")
    with pytest.raises(AWS_ERRORS, match="not authorized"):
        run(bench, message)
    assert not script.tasks_run


def test_a_lost_answer_does_not_keep_it_from_beginning(
    bench: Bench, failed: str, outage: Outage
) -> None:
    message = redrive(failed)
    outage.begin("unheard", 1, only="UpdateItem")
    run(bench, message)
    assert outage.calls
    assert len(script.tasks_run) == 1


def test_a_worker_that_was_cut_off_before_or_after_it_began_leaves_one_record(
    bench: Bench,
) -> None:
    def began(failed: str, message: TaskMessage) -> None:
        assert failed_tasks.begin(failed, redriven_as=message.id, send_id=str(message.send_id))

    ways: list[Callable[[str, TaskMessage], None]] = [began, lambda failed, message: None]
    for cut_off in ways:
        failed = fail(bench)
        message = redrive(failed)
        cut_off(failed, message)
        handle_record(record_of(message), bench.send)
        (record,) = kept()
        assert (record.id, record.error_kind) == (message.id, "Interrupted")
        record.delete()


def test_a_message_that_was_cut_off_says_nothing_of_the_one_that_has_begun(
    bench: Bench, failed: str, lines: io.StringIO
) -> None:
    first, second = redrive(failed), redrive(failed)
    run(bench, first)
    handle_record(record_of(second), bench.send)
    assert kept() == []
    assert "not begun: another message has" in [line["message"] for line in logged(lines)]
