"""What ended a run, or let it go on, is told and counted as that, and once."""

import io
import logging
from typing import Any

import pytest

from bench import Bench
from job_runners.aws import clients
from job_runners.engine.control import caller_actions
from job_runners.engine.lines import pausing
from job_runners.engine.telemetry import log
from job_runners.errors import RetryAfter
from job_runners.store import blobs
from job_runners.store.job_request import JobRequest, Status
from job_runners.store.pauses import Kind
from job_runners.testing.movable_clock import MovableClock
from job_runners.work import context
from sample_work import script
from telemetry_lines import emitted, logged


def told(stream: io.StringIO) -> list[tuple[str, str]]:
    return [(line["level"], line["message"]) for line in logged(stream)]


@pytest.mark.parametrize(("canceled", "says"), [(False, "released"), (True, "canceled")])
def test_a_job_that_goes_back_before_its_function_is_called(
    canceled: bool, says: str, bench: Bench, lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = bench.dispatch("sample_once")

    def refused(*_: object) -> Any:
        if canceled:
            caller_actions.cancel(bench.read(row))
        return {"number": "many"}  # of a newer model, say

    monkeypatch.setattr(blobs, "get", refused)
    bench.run(row)
    assert told(lines)[-1] == ("INFO", says)


@pytest.mark.parametrize(("canceled", "says"), [(False, "invocation over"), (True, "canceled")])
def test_a_job_whose_invocation_is_over(
    canceled: bool, says: str, bench: Bench, lines: io.StringIO
) -> None:
    def work(job: Any, payload: object) -> None:
        job.checkpoint(1)
        if canceled:
            caller_actions.cancel(bench.read(job.id))
        bench.advance(880)
        job.checkpoint(2)

    script.job = work
    row = bench.run(bench.dispatch("sample_once"))
    assert told(lines)[-1] == ("INFO", says)
    assert bench.sent_jobs == ([] if canceled else [row.id])


def test_a_job_that_another_invocation_has_by_now(bench: Bench, lines: io.StringIO) -> None:
    """Nothing more is written of it than the checkpoint that was refused."""

    def work(job: Any, payload: object) -> None:
        bench.read(job.id).update([JobRequest.claim_token.set("of another")])
        client.meta.events.register(
            "before-call.dynamodb.UpdateItem", lambda **_: updates.append("update")
        )
        job.checkpoint(1, durable=True)

    client, updates = clients.client("dynamodb"), list[str]()
    script.job = work
    row = bench.run(bench.dispatch("sample_again"))
    assert (row.status, row.claim_token) == (Status.RUNNING, "of another")
    assert told(lines)[-1] == ("WARNING", "claim lost, outcome dropped")
    assert updates == ["update"]


@pytest.mark.parametrize(("write_s", "at_most"), [(0, 7), (8, 0)])
def test_a_job_that_is_tried_again(
    write_s: int, at_most: int, bench: Bench, lines: io.StringIO
) -> None:
    """Its delay began before the write, which may have taken longer."""

    def work(job: Any, payload: object) -> None:
        events = clients.client("dynamodb").meta.events
        events.register("before-call.dynamodb", lambda **_: time.advance(write_s))
        raise RetryAfter(7, "busy")

    script.job = work
    with MovableClock().in_use() as time:
        bench.run(bench.dispatch("sample_again"))
    line = logged(lines)[-1]
    assert line["message"] == "attempt failed, will retry"
    assert at_most - 1 < line["delay_s"] <= at_most


def test_a_job_that_fails_after_it_was_asked_to_stop_is_not_sent_again(
    bench: Bench, lines: io.StringIO
) -> None:
    def work(job: Any, payload: object) -> None:
        caller_actions.cancel(bench.read(job.id))
        raise RetryAfter(7, "busy")

    script.job = work
    bench.run(bench.dispatch("sample_again"))
    assert told(lines)[-1] == ("INFO", "canceled")
    assert bench.sent == []


@pytest.mark.usefixtures("on_lambda")
@pytest.mark.parametrize(
    ("job_type", "level", "counts"),
    [
        ("sample_once", "ERROR", {"Failed": 1, "Rescued": 1}),
        ("sample_again", "WARNING", {"Retried": 1, "Rescued": 1}),
    ],
)
def test_a_job_whose_worker_is_gone(
    job_type: str,
    level: str,
    counts: dict[str, int],
    bench: Bench,
    lines: io.StringIO,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bench.claim(bench.dispatch(job_type), seconds=10)
    bench.advance(120)
    bench.tick()
    assert (level, "settled") in told(lines)
    first_failure = [("", {"NewFailures": 1})] if "Failed" in counts else []
    assert list(emitted(capsys)) == [(job_type, counts), *first_failure]


@pytest.mark.usefixtures("on_lambda")
def test_a_job_that_nobody_has_started_was_not_rescued(
    bench: Bench, lines: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.dispatch("sample_once")
    bench.advance(2 * 86_400)
    bench.tick()
    assert ("ERROR", "settled") in told(lines)
    assert list(emitted(capsys)) == [("sample_once", {"Failed": 1}), ("", {"NewFailures": 1})]


@pytest.mark.usefixtures("on_lambda")
def test_a_job_that_is_asked_to_stop_is_counted_when_it_does(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    row = bench.claim(bench.dispatch("sample_once"))
    assert caller_actions.cancel(row).status is Status.RUNNING
    assert list(emitted(capsys)) == []
    assert caller_actions.cancel(bench.dispatch("sample_once")).status is Status.CANCELED
    assert list(emitted(capsys)) == [("sample_once", {"Canceled": 1})]


def test_a_type_that_is_paused_is_named(bench: Bench, lines: io.StringIO) -> None:
    pausing.pause(Kind.JOB_TYPE, "sample_again")
    (line,) = logged(lines)
    assert (line["message"], line["job_type"]) == ("paused", "sample_again")


def test_what_somebody_does_who_is_bound_to_no_organisation_is_told_with_the_jobs(
    bench: Bench, lines: io.StringIO
) -> None:
    row = bench.dispatch()
    token = context.author.set(context.Author("operator", "someone"))
    caller_actions.cancel(row)
    context.author.reset(token)
    line = logged(lines)[-1]
    assert (line["message"], line["caller"]) == ("cancel", "someone")
    assert line["organization_id"] == "acme"


# --- what libraries and tests log -----------------------------------------------------------------


def test_what_libraries_say_of_themselves_is_left_out_unless_it_is_asked_for(
    lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, level in (("httpx", logging.NOTSET), ("urllib3", logging.DEBUG)):
        monkeypatch.setattr(logging.getLogger(name), "level", level)
    log.set_up()
    assert logging.getLogger("httpx").level == logging.WARNING
    assert logging.getLogger("urllib3").level == logging.DEBUG


def test_a_test_is_shown_what_is_logged_and_a_line_is_written_once(
    lines: io.StringIO, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger().addHandler(caplog.handler)
    log.set_up()
    logging.getLogger("acme").warning("hello")
    assert caplog.messages == ["hello"]
    assert [line["message"] for line in logged(lines)] == ["hello"]
