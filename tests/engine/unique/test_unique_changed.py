"""A job that is to be replaced and has changed since it was read: whoever asks looks again."""

from collections.abc import Callable
from copy import copy
from typing import Any

import pytest

from bench import Bench
from job_runners import clock
from job_runners.engine.control import caller_actions
from job_runners.engine.lines import pausing
from job_runners.errors import PreconditionFailed
from job_runners.store import blobs
from job_runners.store.job_request import JobRequest, Status
from job_runners.store.line_items import LineItem
from job_runners.store.pauses import Kind
from job_runners.store.transactions import RaceLost, RecordWrite
from job_runners.store.transitions import replacing
from job_runners.store.transitions.saving import NewJob
from job_runners.testing.aws import forget
from large_payloads import LARGE, objects
from sample_work import script


@pytest.fixture
def bench(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setenv("JOBS_PACKAGES", "sample_work,unique_sample")
    forget()
    return bench


def ask(bench: Bench, text: str = "", **more: Any) -> JobRequest:
    asked = {"queue_name": "sample_slots"} | more
    return bench.dispatch("unique_replace", payload={"lot": "a", "text": text}, **asked)


def replace(job: JobRequest, *more_writes: RecordWrite) -> JobRequest:
    """Replace a job by one with a large payload that is to start in a minute."""
    at = clock.now() + clock.MINUTE
    wanted = NewJob(
        job.job_type,
        job.queue_name,
        job.organization_id,
        payload={"lot": "a", "text": f"new {LARGE}"},
        concurrency_key=job.concurrency_key,
        max_attempts=1,
        run_at=at,
        due_at=at,
    )
    return replacing.replace(job, wanted, list(more_writes)).after


# --- how it may have changed ----------------------------------------------------------------------


def admitted_in_its_line(bench: Bench) -> JobRequest:
    row = ask(bench)
    script.job = lambda job, payload: bench.run(row)
    bench.run(bench.dispatch("sample_once", queue_name="sample_slots"))
    assert bench.read(row).slot == 1
    return row


def held_under_another_pause(bench: Bench) -> JobRequest:
    row = ask(bench)
    pausing.pause(Kind.JOB_TYPE, "unique_replace")
    seen = bench.run(row)
    assert seen.status is Status.WAITING
    bench.advance(11)
    pausing.resume(Kind.JOB_TYPE, "unique_replace", bench.send)
    pausing.pause(Kind.QUEUE, "sample_slots")
    bench.advance(11)
    assert bench.run(row).status is Status.WAITING
    return seen


def put_off(bench: Bench) -> JobRequest:
    seen = ask(bench, delay=60)
    ask(bench, delay=90)
    return seen


def given_another_large_payload(bench: Bench) -> JobRequest:
    seen = ask(bench, LARGE)
    ask(bench, f"another {LARGE}")
    return seen


def given_the_payload_of_another_key(bench: Bench) -> JobRequest:
    seen = ask(bench, queue_name="default")
    canceled = caller_actions.cancel(bench.read(seen))
    caller_actions.retry_again(canceled, bench.send, {"lot": "another", "text": ""})
    return seen


def another_under_the_same_id(bench: Bench) -> JobRequest:
    seen = ask(bench, idempotency_key="k")
    caller_actions.delete(caller_actions.cancel(bench.read(seen)))
    bench.advance(1)
    assert ask(bench, idempotency_key="k").id == seen.id
    return seen


@pytest.mark.parametrize(
    "changed",
    [
        admitted_in_its_line,
        held_under_another_pause,
        put_off,
        given_another_large_payload,
        given_the_payload_of_another_key,
        another_under_the_same_id,
    ],
)
def test_one_that_has_changed_since_it_was_read_stays_as_it_is(
    bench: Bench, changed: Callable[[Bench], JobRequest]
) -> None:
    seen = changed(bench)
    before, stored = bench.read(seen).serialize(), objects()
    with pytest.raises(PreconditionFailed):
        replace(seen)
    assert bench.read(seen).serialize() == before
    assert objects() == stored


def test_nor_is_one_replaced_where_another_record_has_changed(bench: Bench) -> None:
    row = ask(bench)
    changed = RecordWrite(LineItem("place", "item"), "put", condition=LineItem.sk.exists())
    with pytest.raises(RaceLost):
        replace(row, changed)
    assert bench.read(row).replaced_by is None
    assert objects() == []


# --- that landed unheard --------------------------------------------------------------------------


def test_a_payload_that_it_was_given_back_manually_meanwhile_is_not_deleted(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The replacement has landed, and its answer was lost; the job has failed since, was queued
    again with what it had at first, and has begun."""
    row = ask(bench, LARGE, queue_name="default")
    seen = bench.read(row)
    update = JobRequest.update

    def fail(job: Any, payload: object) -> None:
        raise ZeroDivisionError

    def lands_unheard(row: JobRequest, *asked: Any) -> Any:
        monkeypatch.setattr(JobRequest, "update", update)
        update(copy(row), *asked)
        script.job = fail
        bench.advance(60)
        assert bench.run(seen).status is Status.FAILED
        payload = {"lot": "a", "text": LARGE}
        bench.claim(caller_actions.retry_again(bench.read(seen), bench.send, payload))
        return update(row, *asked)

    monkeypatch.setattr(JobRequest, "update", lands_unheard)
    again = replace(seen)
    assert again.payload_key == seen.payload_key
    assert blobs.get(None, again.payload_key)["text"] == LARGE
