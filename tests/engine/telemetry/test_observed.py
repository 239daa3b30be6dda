"""What can be seen of work: log lines that tell whose they are, and metrics on Lambda."""

import io
import logging
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

import job_runners.handlers.timer
from bench import Bench
from job_runners import clock, runners
from job_runners.engine.control import caller_actions
from job_runners.engine.lines import pausing
from job_runners.engine.running import execution
from job_runners.engine.telemetry import telemetry
from job_runners.engine.tick import oldest_wait
from job_runners.engine.wire.messages import TaskMessage
from job_runners.errors import Interrupted
from job_runners.store import blobs, limits, queries
from job_runners.store.job_request import JobRequest, Status
from job_runners.store.pauses import Kind
from job_runners.testing.aws import forget
from job_runners.testing.lambda_context import Context
from job_runners.work import Member, context
from job_runners.work.interrupts import PauseInterrupt
from sample_work import script
from telemetry_lines import SECRET, emitted, logged


def test_every_line_of_a_job_says_which_job_attempt_invocation_organisation_and_request(
    bench: Bench, lines: io.StringIO
) -> None:
    def work(job: Any, payload: object) -> None:
        logging.getLogger("some.library").warning("from a library")
        telemetry.logger.info("from the job")
        raise ValueError("no luck")

    script.job = work
    token = context.request_id.set("request-1")
    row = bench.dispatch()
    context.request_id.reset(token)
    lines.truncate(0)
    lines.seek(0)
    bench.run(row)
    found = logged(lines)
    said = {line["message"] for line in found}
    assert said == {"claimed", "from a library", "from the job", "attempt failed, will retry"}
    for line in found:
        assert line["job_id"] == row.id, line
        assert line["job_type"] == "sample_again"
        assert line["organization_id"] == "acme"
        assert (line["attempt"], line["invocation"]) == (1, 1)
        assert line["request_id"] == "request-1"


def test_one_request_id_goes_from_the_call_to_the_last_attempt_and_to_children(
    bench: Bench, lines: io.StringIO
) -> None:
    def work(job: Any, payload: Any) -> None:
        if payload.number == 1:
            job.dispatch("sample_once", {"number": 2}, key="one")
            raise ValueError("no luck")

    script.job = work
    token = context.request_id.set("request-1")
    row = bench.dispatch()
    context.request_id.reset(token)
    bench.run(row)
    bench.advance(3600)
    bench.tick()  # a message of the timer's own
    lines.truncate(0)
    lines.seek(0)
    bench.deliver()
    found = logged(lines)
    assert len({line["job_id"] for line in found}) == 2
    assert {line["request_id"] for line in found} == {"request-1"}


def test_what_the_owner_and_the_timer_do_is_logged_with_the_job_it_is_about(
    bench: Bench, lines: io.StringIO
) -> None:
    row = bench.dispatch()
    caller_actions.cancel(row)
    caller_actions.retry_again(bench.read(row), bench.send)
    pausing.pause(Kind.QUEUE, "default")
    bench.run(row)
    pausing.resume(Kind.QUEUE, "default", bench.send)
    caller_actions.delete(caller_actions.cancel(bench.read(row)))
    found = logged(lines)
    said = [line["message"] for line in found]
    assert said == [
        *("accepted", "cancel", "queued again", "paused", "waits for resume", "resuming"),
        *("cancel", "deleted"),
    ]
    for line in found:
        if line["message"] not in ("paused", "resuming"):
            assert (line["job_id"], line["organization_id"]) == (row.id, "acme")


def test_waiting_in_line_is_logged_with_the_job_and_its_line(
    bench: Bench, lines: io.StringIO
) -> None:
    limits.put("texts", slots=1)
    first, second = (bench.dispatch(queue_name="texts") for _ in range(2))

    def work(*_: object) -> None:
        script.job = lambda *_: None
        bench.run(second)  # which finds no room

    script.job = work
    bench.run(first)
    found = [
        each for each in logged(lines) if each["message"] in ("waits for capacity", "admitted")
    ]
    assert [line["message"] for line in found] == ["waits for capacity", "admitted"]
    for line in found:
        assert (line["job_id"], line["organization_id"]) == (second.id, "acme")
        assert (line["queue_name"], line["concurrency_key"]) == ("texts", "*")
    assert found[1]["slot"] == 1


@pytest.mark.parametrize("paused", [False, True])
def test_a_job_that_is_canceled_where_it_would_wait_is_not_said_to_wait(
    bench: Bench, lines: io.StringIO, paused: bool
) -> None:
    limits.put("texts", slots=1)
    row = bench.dispatch(queue_name="texts")

    def work(job: Any, _: object) -> None:
        caller_actions.cancel(bench.read(row))
        if paused:
            raise PauseInterrupt(pausing.pause(Kind.QUEUE, "texts"))
        job.next_turn(1)

    script.job = work
    bench.run(row)
    assert bench.read(row).status is Status.CANCELED
    said = [line["message"] for line in logged(lines)]
    assert said[-1] == "canceled"
    assert not {"waits for resume", "waits for capacity"} & set(said)


def test_no_payload_result_or_step_is_logged(bench: Bench, lines: io.StringIO) -> None:
    def work(job: Any, payload: Any) -> dict[str, str]:
        job.step("one", lambda: SECRET)
        job.checkpoint(SECRET, progress=1)
        job.dispatch_task("sample_note_again", {"text": SECRET})
        return {"secret": payload.text}

    def fail(payload: object) -> None:
        raise ValueError("no luck")

    script.job, script.task = work, fail
    payload = {"text": SECRET}
    bench.run(bench.dispatch("sample_once", payload=payload, idempotency_key="k"))
    bench.deliver()
    bad = bench.dispatch(payload={"text": SECRET})
    bad.update([JobRequest.job_type.set("sample_once"), JobRequest.payload.set(_of(5, SECRET))])
    bench.run(bench.read(bad))
    bench.advance(2 * 60 * 60)  # a newer deploy might have taken it
    bench.run(bench.read(bad))
    assert bench.read(bad).error["kind"] == "InvalidPayload"
    assert len(logged(lines)) > 5
    assert SECRET not in lines.getvalue()


def test_payloads_are_logged_where_that_is_asked_for_but_for_what_is_marked_secret(
    bench: Bench, lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Letter(BaseModel):
        to: str
        key: SecretStr

    monkeypatch.setenv("LOG_PAYLOADS", "true")
    forget()
    telemetry.called_with(Letter(to="Ada", key=SecretStr(SECRET)))
    bench.run(bench.dispatch("sample_once", payload={"text": "dear"}))
    task = TaskMessage(id="t", name="sample_note", payload={"text": "note"})
    execution.run(task, deadline=clock.now() + 900_000, send=bench.send)
    letter, job, note = (line["payload"] for line in logged(lines) if "payload" in line)
    assert letter["to"] == "Ada"
    assert (job["text"], note["text"]) == ("dear", "note")
    assert SECRET not in lines.getvalue()


def _of(number: int, text: str) -> bytes:
    packed, _ = blobs.put("x", {"number": -number, "text": text})
    assert packed
    return packed


@pytest.mark.usefixtures("on_lambda")
def test_metrics_tell_waits_run_times_and_outcomes_by_type(
    still: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    row = still.dispatch()
    still.advance(7)
    script.job = lambda job, payload: still.advance(3)
    still.run(row)
    waited, ended = emitted(capsys)
    assert waited[0] == ended[0] == "sample_again"
    assert waited[1]["QueueWait"] == 7000
    assert ended[1]["Succeeded"] == 1
    assert ended[1]["RunTime"] == 3000


@pytest.mark.usefixtures("on_lambda")
def test_metrics_count_failures_retries_rescues_and_cancels(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(job: object, payload: object) -> None:
        raise ValueError("no luck")

    script.job = fail
    bench.run(bench.dispatch())
    bench.run(bench.dispatch("sample_once"))
    caller_actions.cancel(bench.dispatch())
    for job_type in ("sample_once", "sample_again"):
        row = bench.dispatch(job_type)
        bench.claim(row, seconds=10)
    bench.advance(120)
    bench.tick()
    counted = [
        (whose, {name: n for name, n in values.items() if name not in ("QueueWait", "RunTime")})
        for whose, values in emitted(capsys)
    ]
    assert [each for each in counted if each[1]] == [
        ("sample_again", {"Retried": 1}),
        ("sample_once", {"Failed": 1}),
        ("", {"NewFailures": 1}),
        ("sample_again", {"Canceled": 1}),
        ("sample_once", {"Failed": 1, "Rescued": 1}),
        ("", {"NewFailures": 1}),
        ("sample_again", {"Retried": 1, "Rescued": 1}),
    ]


@pytest.mark.usefixtures("on_lambda")
def test_metrics_count_tasks(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(payload: object) -> None:
        raise ValueError("no luck")

    def work(job: Any, payload: object) -> None:
        for name in ("sample_note", "sample_note_again"):
            job.dispatch_task(name, {})

    script.job = work
    bench.run(bench.dispatch("sample_once"))
    script.task = fail
    for task in bench.sent_tasks:
        execution.run(task, deadline=clock.now() + 900_000, send=bench.send)
    counts = [each for each in emitted(capsys) if each[0].startswith("sample_note")]
    assert counts == [("sample_note", {"Failed": 1}), ("sample_note_again", {"Retried": 1})]


def test_off_lambda_no_metrics_are_printed(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.run(bench.dispatch())
    assert not list(emitted(capsys))


def test_the_tick_says_in_one_metric_how_late_it_is(
    still: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    still.dispatch()
    still.advance(60 + 45)
    job_runners.handlers.timer.tick(Context(), still.send)
    ((whose, values),) = emitted(capsys)
    assert whose == ""  # by service alone: what the alarms in the template watch
    assert values["TimerLag"] == 45_000
    each_minute = {"TimerLag", "TimerSendFailures", "TimerUnclaimed"}
    assert values.keys() == {*each_minute, "TimerSent"}
    job_runners.handlers.timer.tick(Context(), still.send)
    ((_, values),) = emitted(capsys)
    assert values.keys() == each_minute  # CloudWatch bills a metric, even for a value of 0


@pytest.mark.parametrize("minute", ["00", "07"])
def test_every_15_minutes_the_timer_says_how_long_the_oldest_wait_for_a_person_takes(
    on_lambda: None,
    still: Bench,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    minute: str,
) -> None:
    event = {"source": "aws.events", "time": f"2026-11-24T12:{minute}:31Z"}
    monkeypatch.setattr(runners, "sender", lambda: still.send)

    def oldest() -> list[int]:
        job_runners.handlers.timer.handler(event, Context())  # type: ignore[arg-type]
        return [values["OldestWait"] for _, values in emitted(capsys) if "OldestWait" in values]

    for wait in (
        lambda job, payload: job.sleep("night", 90_000),
        lambda job, payload: job.gather("all", [Member("sample_once")]),
    ):
        script.job = wait
        still.run(still.dispatch("sample_once"))
    oldest_wait.measure()  # raises nothing
    assert oldest() == []  # they wait for no person
    still.advance(50)
    for timeout in (80_000, 70_000):  # the wait that began first ends last
        script.job = lambda job, payload: job.wait_for("go", timeout=timeout)  # noqa: B023
        still.run(still.dispatch("sample_once"))
        still.advance(50)
    capsys.readouterr()
    assert oldest() == ([100_000] if minute == "00" else [])
    monkeypatch.setattr(queries, "read_many", lambda ids: 1 / 0)
    assert oldest() == []  # the run itself has succeeded


def test_every_15_minutes_the_timer_says_how_long_a_job_has_waited_in_a_line(
    on_lambda: None,
    still: Bench,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    event = {"source": "aws.events", "time": "2026-11-24T12:00:31Z"}
    monkeypatch.setattr(runners, "sender", lambda: still.send)

    def oldest() -> list[int]:
        capsys.readouterr()
        job_runners.handlers.timer.handler(event, Context())  # type: ignore[arg-type]
        return [values["OldestInLine"] for _, values in emitted(capsys) if "OldestInLine" in values]

    pausing.pause(Kind.QUEUE, "default")
    still.run(still.dispatch("sample_once"))  # held under the pause, not in a line
    still.advance(50)
    assert still.run(still.dispatch("sample_once", queue_name="sample_paced")).finished_at
    assert oldest() == []
    for _ in range(2):
        row = still.run(still.dispatch("sample_once", queue_name="sample_paced"))
        assert row.status is Status.WAITING
        still.advance(50)
    assert oldest() == [100_000]


def test_a_rescue_says_why(bench: Bench, lines: io.StringIO) -> None:
    row = bench.dispatch("sample_once")
    bench.claim(row, seconds=10)
    bench.advance(120)
    bench.tick()
    (line,) = [line for line in logged(lines) if line["message"] == "settled"]
    assert line["job_id"] == row.id
    assert line["why"] == str(Interrupted("its worker stopped without reporting an outcome"))
