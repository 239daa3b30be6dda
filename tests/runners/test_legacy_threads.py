"""Jobs that the legacy runner runs in a thread of this process, beside a worker process."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

import job_rows
from job_runners import clock
from job_runners.engine.tick import timer
from job_runners.engine.wire.messages import JobMessage, TaskMessage
from job_runners.errors import PreconditionFailed
from job_runners.runners import get_job_runner, lease, legacy
from job_runners.runners.base import JobData
from job_runners.store import conditional_write, queries, transitions
from job_runners.store.job_request import JobRequest, Lane, Status
from job_runners.testing.aws import forget
from sample_work import script

pytestmark = pytest.mark.usefixtures("aws")


@pytest.fixture
def release(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Jobs run in a thread, longer than they may, until this is set. A lease is over 1.5 s after
    a deadline that is always over: for so long the machine may stand still."""
    monkeypatch.setenv("JOBS_PACKAGES", "sample_work")
    monkeypatch.setenv("JOBS_SYNC", "false")
    monkeypatch.setenv("JOB_TIMEOUT_SECONDS", "1")
    monkeypatch.setattr(transitions, "SKEW", 1_500)
    monkeypatch.setattr("job_runners.store.transitions.claiming.SKEW", 1_500)
    forget()
    script.reset()
    event, begun = threading.Event(), threading.Event()

    def work(job: Any, payload: object) -> None:
        begun.set()
        event.wait(60)

    script.job = work
    yield event
    event.set()
    legacy._threads().shutdown(wait=True)
    legacy._threads.cache_clear()


def dispatch(job_type: str) -> JobRequest:
    return get_job_runner().dispatch_job(JobData(job_type=job_type, organization_id="acme")).row


def stored(row: JobRequest) -> JobRequest:
    found = queries.read(row.id)
    assert found is not None
    return found


def polls(seconds: float, until: Callable[[], bool] = lambda: False) -> None:
    """Have the worker process look for work, as it does each second."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not until():
        timer.send_next(lambda *_: None, early_by=conditional_write.GRACE, page_size=25)
        time.sleep(0.05)


def look_now(row: JobRequest) -> None:
    """Make a running row due, whose look is a minute off. Its thread may write to it meanwhile."""
    for _ in range(20):
        with suppress(PreconditionFailed):
            transitions.postpone(stored(row), clock.now(), Lane.PROMPT)
            return
    raise AssertionError("the row moved each time")


@pytest.mark.parametrize("job_type", ["sample_once", "sample_again"])
def test_a_job_that_outlives_its_lease_in_a_living_thread_is_left_alone(
    release: threading.Event, job_type: str
) -> None:
    row = dispatch(job_type)
    polls(60, until=lambda: stored(row).status is Status.RUNNING)
    first = stored(row).lease_until or 0
    look_now(row)
    polls(60, until=lambda: clock.now() > first + 700)
    found = stored(row)
    assert (found.status, found.attempt) == (Status.RUNNING, 1)
    assert (found.lease_until or 0) > first
    release.set()
    polls(60, until=lambda: stored(row).status is not Status.RUNNING)
    assert stored(row).status is Status.SUCCEEDED


def test_once_its_process_is_gone_the_lease_runs_out(
    release: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "job_runners.runners.lease._renew_until_ended", lambda *_: None
    )  # as when no thread is left
    row = dispatch("sample_once")
    polls(60, until=lambda: stored(row).status is Status.RUNNING)
    look_now(row)
    polls(60, until=lambda: stored(row).status is not Status.RUNNING)
    assert stored(row).error["kind"] == "Interrupted"


def ended(row: JobRequest) -> None:
    transitions.succeed(row, "done")


def overtaken(row: JobRequest) -> None:
    job_rows.claimed(job_rows.retry(row))


def gone(row: JobRequest) -> None:
    row.delete()


@pytest.mark.parametrize("happened", [ended, overtaken, gone])
def test_a_lease_is_not_renewed_beyond_its_claim(
    happened: Callable[[JobRequest], None],
) -> None:
    message = JobMessage.about(job_rows.saved())
    row = transitions.claim(
        message.id, job_type=message.job_type, send_id=message.send_id, deadline=clock.now()
    ).after
    happened(row)
    before = queries.read(row.id)
    others = set(threading.enumerate())
    with lease.renewing_lease(message, clock.now()):
        for keeper in set(threading.enumerate()) - others:
            keeper.join(60)
            assert not keeper.is_alive()
    after = queries.read(row.id)
    assert (before and before.serialize()) == (after and after.serialize())


def test_a_task_has_no_lease_to_renew() -> None:
    others = set(threading.enumerate())
    with lease.renewing_lease(TaskMessage(id="t", name="sample_note", payload={}), clock.now()):
        assert set(threading.enumerate()) <= others


def test_a_lease_is_renewed_though_aws_was_away_when_it_was_first_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transitions, "SKEW", 100)
    message = JobMessage.about(job_rows.saved())
    row = transitions.claim(
        message.id, job_type=message.job_type, send_id=message.send_id, deadline=clock.now()
    ).after
    answers: list[Any] = [EndpointConnectionError(endpoint_url="https://dynamodb")]

    def read(job_id: str) -> JobRequest | None:
        if answers:
            raise answers.pop()
        return queries.read(job_id)

    monkeypatch.setattr(lease, "read", read)
    with lease.renewing_lease(message, clock.now()):
        end = time.monotonic() + 60
        while stored(row).lease_until == row.lease_until and time.monotonic() < end:
            time.sleep(0.02)
    assert not answers
    assert stored(row).lease_until != row.lease_until


def test_what_goes_wrong_under_a_job_is_not_for_whoever_dispatched_it(
    release: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Lambda it would be the worker's, and the job is due."""
    monkeypatch.setenv("JOBS_SYNC", "true")
    forget()

    def run(*_: Any, **__: Any) -> None:
        raise RuntimeError("out of memory, say")

    monkeypatch.setattr(legacy, "run", run)
    assert stored(dispatch("sample_once")).status is Status.QUEUED
