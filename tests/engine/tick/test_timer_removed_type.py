"""A job that had begun when a deploy took its type away: it waits, and in the end it is told."""

from collections.abc import Callable
from typing import cast

import pytest

from bench import Bench
from job_runners import clock
from job_runners.engine.registry.registry import registry
from job_runners.store import transitions
from job_runners.store.job_request import JobRequest, Status
from job_runners.store.transitions import Checkpoint
from job_runners.work.definitions import Job


@pytest.fixture
def begun(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> JobRequest:
    """Return a job that is to be tried again when nobody knows its type any more."""
    row = bench.dispatch()
    bench.claim(row, seconds=10)
    monkeypatch.delitem(cast(dict[str, Job], registry().jobs), row.job_type)
    bench.advance(120)
    bench.tick()
    assert bench.read(row).status is Status.RETRYABLE
    return row


@pytest.fixture
def known(bench: Bench) -> JobRequest:
    """Return a job that has begun, and whose type is known."""
    row = transitions.end_invocation(
        bench.claim(bench.dispatch()), Checkpoint("here", 40, None)
    ).after
    bench.sent.clear()
    return row


def days(bench: Bench, number: int) -> None:
    """So many days, with a tick now and then."""
    for _ in range(number * 2):
        bench.advance(12 * 3600)
        bench.tick()


def test_it_waits_for_a_deploy_that_knows_it_again(bench: Bench, begun: JobRequest) -> None:
    days(bench, 29)
    row = bench.read(begun)
    assert row.status is Status.RETRYABLE
    assert (row.due_at or 0) <= clock.now() + clock.HOUR


def test_after_a_month_it_has_failed(bench: Bench, begun: JobRequest) -> None:
    days(bench, 31)
    row = bench.read(begun)
    assert (row.status, row.error["kind"]) == (Status.FAILED, "JobTypeRemoved")
    assert "'sample_again' for 30 days" in row.error["message"]


def ended_an_invocation(row: JobRequest) -> None:
    transitions.end_invocation(row, Checkpoint("there", 60, None))


@pytest.mark.parametrize("last", [ended_an_invocation, transitions.release])
def test_the_month_begins_when_it_was_last_heard_of(
    bench: Bench,
    known: JobRequest,
    monkeypatch: pytest.MonkeyPatch,
    last: Callable[[JobRequest], object],
) -> None:
    bench.advance(20 * 24 * 3600)
    last(bench.claim(known))
    monkeypatch.delitem(cast(dict[str, Job], registry().jobs), known.job_type)
    bench.advance(20 * 24 * 3600)
    bench.tick()
    assert bench.read(known).status is Status.QUEUED


def test_a_job_of_a_type_that_is_known_does_not_fail_of_its_wait(
    bench: Bench, known: JobRequest
) -> None:
    bench.advance(31 * 24 * 3600)
    bench.tick()
    assert bench.sent_jobs == [known.id]


def test_one_that_never_began_fails_after_a_day_and_says_that_nobody_knew_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = bench.dispatch()
    monkeypatch.delitem(cast(dict[str, Job], registry().jobs), row.job_type)
    bench.advance(23 * 3600)
    bench.tick()
    assert bench.read(row).status is Status.QUEUED
    days(bench, 1)
    failed = bench.read(row)
    assert (failed.status, failed.error["kind"]) == (Status.FAILED, "NeverStarted")
    assert failed.error["message"].endswith("This deploy has no job type 'sample_again'.")
