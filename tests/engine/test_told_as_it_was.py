"""What ended a run, or let it go on, is told and counted as that, and once."""

import io
from typing import Any

import pytest

from bench import Bench
from errors import RetryAfter
from runners import owner_actions, pausing
from sample_work import script
from store import blobs
from store.job_request import Status
from store.pauses import Kind
from telemetry_lines import emitted, logged


def told(stream: io.StringIO) -> list[tuple[str, str]]:
    return [(line["level"], line["message"]) for line in logged(stream)]


@pytest.mark.parametrize(("cancelled", "says"), [(False, "released"), (True, "cancelled")])
def test_a_job_that_goes_back_before_its_function_is_called(
    cancelled: bool, says: str, bench: Bench, lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = bench.dispatch("sample_once")

    def refused(*_: object) -> Any:
        if cancelled:
            owner_actions.cancel(bench.read(row))
        return {"number": "many"}  # of a newer model, say

    monkeypatch.setattr(blobs, "get", refused)
    bench.run(row)
    assert told(lines)[-1] == ("INFO", says)


@pytest.mark.parametrize(("cancelled", "says"), [(False, "leg over"), (True, "cancelled")])
def test_a_job_whose_leg_is_over(
    cancelled: bool, says: str, bench: Bench, lines: io.StringIO
) -> None:
    def work(job: Any, payload: object) -> None:
        job.checkpoint(1)
        if cancelled:
            owner_actions.cancel(bench.read(job.id))
        bench.advance(880)
        job.checkpoint(2)

    script.job = work
    bench.run(bench.dispatch("sample_once"))
    assert told(lines)[-1] == ("INFO", says)


def test_a_job_that_is_tried_again(bench: Bench, lines: io.StringIO) -> None:
    def work(job: Any, payload: object) -> None:
        raise RetryAfter(7, "busy")

    script.job = work
    bench.run(bench.dispatch("sample_again"))
    line = logged(lines)[-1]
    assert (line["message"], line["delay_s"]) == ("attempt failed, will retry", 7.0)


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
    assert list(emitted(capsys)) == [(job_type, counts)]


@pytest.mark.usefixtures("on_lambda")
def test_a_job_that_nobody_has_started_was_not_rescued(
    bench: Bench, lines: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.dispatch("sample_once")
    bench.advance(2 * 86_400)
    bench.tick()
    assert ("ERROR", "settled") in told(lines)
    assert list(emitted(capsys)) == [("sample_once", {"Failed": 1})]


@pytest.mark.usefixtures("on_lambda")
def test_a_job_that_is_asked_to_stop_is_counted_when_it_does(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    row = bench.claim(bench.dispatch("sample_once"))
    assert owner_actions.cancel(row).status is Status.RUNNING
    assert list(emitted(capsys)) == []
    assert owner_actions.cancel(bench.dispatch("sample_once")).status is Status.CANCELLED
    assert list(emitted(capsys)) == [("sample_once", {"Cancelled": 1})]


def test_a_type_that_is_paused_is_named(bench: Bench, lines: io.StringIO) -> None:
    pausing.pause(Kind.JOB_TYPE, "sample_again")
    (line,) = logged(lines)
    assert (line["message"], line["job_type"]) == ("paused", "sample_again")
