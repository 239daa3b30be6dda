"""The messages of a job that is unique and takes what is asked for later: one goes round, and no
time that it is given is waited for by the timer alone."""

from typing import Any

import pytest

from bench import Bench
from job_runners.engine.dispatch.dispatch import accept_job
from job_runners.engine.lines import pausing
from job_runners.engine.wire.sending import send_if_unclaimed
from job_runners.runners.base import JobData
from job_runners.store.job_request import JobRequest, Status
from job_runners.store.pauses import Kind
from job_runners.testing.aws import forget
from sample_work import script


@pytest.fixture
def bench(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setenv("JOBS_PACKAGES", "sample_work,unique_sample")
    forget()
    return bench


def ask_and_send(bench: Bench, text: str, **more: Any) -> JobRequest:
    """As a runner does that sends."""
    data = JobData(
        job_type="unique_replace",
        organization_id="acme",
        payload={"lot": "a", "text": text},
        **more,
    )
    row = accept_job(data, send=bench.send)
    send_if_unclaimed(row, bench.send)
    return row.row


def test_however_often_it_is_put_off_one_message_goes_round(bench: Bench) -> None:
    row = ask_and_send(bench, "0", delay=60)
    for number in range(10):
        bench.advance(1)
        ask_and_send(bench, str(number), delay=60)
    assert bench.sent_jobs == [row.id]
    bench.run_out()
    assert script.texts_run == ["9"]


def test_it_is_sent_when_it_is_brought_forward(bench: Bench) -> None:
    ask_and_send(bench, "0", delay=600)
    ask_and_send(bench, "1", delay=60)
    assert len(bench.sent_jobs) == 2
    bench.run_out()
    assert script.texts_run == ["1"]


def test_one_that_was_queued_and_is_put_off_waits_for_its_time(bench: Bench) -> None:
    ask_and_send(bench, "0")
    row = ask_and_send(bench, "1", delay=60)
    assert bench.sent_jobs == [row.id]
    assert bench.run(row).status is Status.SCHEDULED  # it comes too early, and is delayed
    bench.run_out()
    assert script.texts_run == ["1"]


def test_one_that_is_to_start_at_once_has_one_message_however_often_it_is_replaced(
    bench: Bench,
) -> None:
    row = ask_and_send(bench, "1")
    ask_and_send(bench, "2")
    ask_and_send(bench, "3")
    assert bench.sent_jobs == [row.id]


def test_one_that_is_held_and_put_off_is_sent(bench: Bench) -> None:
    """Its message was used up when it was held."""
    row = ask_and_send(bench, "1")
    pausing.pause(Kind.JOB_TYPE, "unique_replace")
    bench.deliver()
    assert bench.read(row).status is Status.WAITING
    ask_and_send(bench, "2", delay=60)
    assert [round(delay) for _, delay in bench.sent] == [60]


def test_one_that_comes_within_the_reach_of_a_message_is_sent_once(bench: Bench) -> None:
    ask_and_send(bench, "1", delay=1000)
    bench.sent.clear()  # no message can wait for so long: it is the timer's
    for _ in range(2):
        bench.advance(200)
        ask_and_send(bench, "2", delay=850)
    assert [round(delay) for _, delay in bench.sent] == [850]


def test_one_that_is_overdue_and_put_off_no_further_is_left_to_its_message(bench: Bench) -> None:
    row = ask_and_send(bench, "1")
    ask_and_send(bench, "2", delay=3600)  # it may be put off 600 s
    bench.sent.clear()
    bench.advance(700)
    assert ask_and_send(bench, "3", delay=60).status is Status.QUEUED
    bench.tick()
    assert bench.sent_jobs == [row.id]
