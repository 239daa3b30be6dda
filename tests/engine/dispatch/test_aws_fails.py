"""AWS is away for a while: what is recorded then is still true, and nobody's work is lost to it."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

import job_runners.handlers.worker
from api_events import call
from bench import Bench
from gathering_job import Gathering
from job_runners import clock
from job_runners.aws.errors import AWS_ERRORS, condition_failed, is_temporary
from job_runners.engine.control import caller_actions
from job_runners.engine.running import execution
from job_runners.engine.wire.messages import JobMessage, encode
from job_runners.store import blobs, queries, transitions
from job_runners.store.conditional_write import Change
from job_runners.store.job_request import JobRequest, Status
from job_runners.testing.lambda_context import Context
from job_runners.testing.plain_clients import every_row
from outage import Outage
from sample_work import script

NOISE = "".join(f"{number * 2654435761 % 2**32:08x}" for number in range(2000))
kinds = pytest.mark.parametrize("kind", Outage.KINDS)


def result(row: JobRequest) -> Any:
    return blobs.get(row.result, row.result_key)


# --- outcomes -------------------------------------------------------------------------------------


@kinds
def test_a_job_that_returned_succeeds_though_dynamodb_is_away_for_minutes(
    bench: Bench, outage: Outage, kind: str
) -> None:
    def work(job: Any, payload: object) -> str:
        outage.begin(kind)
        return "done"

    script.job = work
    row = bench.run(bench.dispatch("sample_once"))
    assert (row.status, result(row)) == (Status.SUCCEEDED, "done")
    assert outage.calls


@kinds
def test_a_large_result_waits_for_its_bucket(bench: Bench, outage: Outage, kind: str) -> None:
    def work(job: Any, payload: object) -> str:
        outage.begin(kind, service="s3")
        return NOISE

    script.job = work
    row = bench.run(bench.dispatch("sample_once"))
    assert (row.status, result(row)) == (Status.SUCCEEDED, NOISE)


@kinds
def test_an_attempt_that_failed_is_told_as_what_it_was(
    bench: Bench, outage: Outage, kind: str
) -> None:
    def work(job: Any, payload: object) -> None:
        outage.begin(kind)
        raise ValueError("no luck")

    script.job = work
    once, again = bench.dispatch("sample_once"), bench.dispatch("sample_again")
    rows = [bench.run(once), bench.run(again)]
    assert [row.status for row in rows] == [Status.FAILED, Status.RETRYABLE]
    assert [row.error["kind"] for row in rows] == ["ValueError", "ValueError"]
    assert [row.attempt for row in rows] == [1, 2]


@kinds
def test_an_invocation_ends_and_a_canceled_job_stops(
    bench: Bench, outage: Outage, kind: str
) -> None:
    def work(job: Any, payload: object) -> None:
        bench.advance(500)
        row = bench.read(job.id)
        if payload.text == "cancel":  # type: ignore[attr-defined]
            caller_actions.cancel(row)
            job.checkpoint("here", durable=True)
        outage.begin(kind, 60)
        job.checkpoint("here")

    script.job = work
    row = bench.run(bench.dispatch("sample_once"), seconds=600)
    assert (row.status, row.cursor, row.invocations) == (Status.QUEUED, "here", 1)
    row = bench.run(bench.dispatch("sample_once", payload={"text": "cancel"}))
    assert row.status is Status.CANCELED


def test_a_service_that_stays_away_until_the_end_costs_the_outcome_and_no_more(
    bench: Bench, outage: Outage
) -> None:
    def work(job: Any, payload: object) -> None:
        outage.begin("throttled", 10_000)

    script.job = work
    row = bench.dispatch("sample_once")
    with pytest.raises(AWS_ERRORS):
        bench.run(row)
    assert bench.moved >= 890_000
    assert bench.moved < 900_000
    bench.advance(10_000)
    assert bench.read(row).status is Status.RUNNING


def test_a_refusal_that_will_not_pass_is_not_repeated(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer: Any = {"Error": {"Code": "AccessDeniedException", "Message": "not authorized"}}
    calls = []

    def refuse(*_: Any, **__: Any) -> None:
        calls.append(1)
        raise ClientError(answer, "UpdateItem")

    monkeypatch.setattr("job_runners.store.transitions.succeed", refuse)
    with pytest.raises(ClientError):
        bench.run(bench.dispatch("sample_once"))
    assert len(calls) == 1


# --- checkpoints, steps, children -----------------------------------------------------------------


@kinds
def test_a_checkpoint_that_aws_refuses_is_written_by_a_later_call(
    bench: Bench, outage: Outage, kind: str
) -> None:
    seen = []

    def work(job: Any, payload: object) -> None:
        outage.begin(kind, 60)
        while not bench.read_quietly(job.id):
            job.checkpoint("first", progress=10)
            seen.append(len(outage.calls))
            bench.advance(20)
        bench.advance(6)
        job.checkpoint("second", progress=20)
        assert bench.read(job.id).cursor == "second"

    script.job = work
    assert bench.run(bench.dispatch("sample_once")).status is Status.SUCCEEDED
    assert len(seen) > 1


@kinds
def test_a_durable_checkpoint_returns_only_once_it_is_written(
    bench: Bench, outage: Outage, kind: str
) -> None:
    def work(job: Any, payload: object) -> None:
        job.checkpoint("first", durable=True)
        outage.begin(kind)
        job.checkpoint("second", durable=True)
        assert bench.read(job.id).cursor == "second"

    script.job = work
    assert bench.run(bench.dispatch("sample_once")).status is Status.SUCCEEDED


def test_a_durable_checkpoint_that_is_never_taken_ends_with_the_jobs_time(
    still: Bench, outage: Outage
) -> None:
    def work(job: Any, payload: object) -> None:
        outage.begin("throttled", 896)
        job.checkpoint(durable=True)
        script.tasks_run.append(payload)  # type: ignore[arg-type]

    script.job = work
    row = still.run(still.dispatch("sample_once"))
    assert row.error["kind"] == "TimedOut"
    assert not script.tasks_run


@kinds
def test_steps_and_children_wait_for_dynamodb(bench: Bench, outage: Outage, kind: str) -> None:
    calls: list[str] = []

    def take_step() -> str:
        calls.append("one")
        return "stepped"

    def work(job: Any, payload: object) -> list[Any]:
        if job.attempt == 1 and payload.number == 7:  # type: ignore[attr-defined]
            outage.begin(kind)
            step = job.step("one", take_step)
            outage.begin(kind)
            return [step, job.dispatch("sample_once", {"number": 1}, key="child")]
        return []

    script.job = work
    row = bench.run(bench.dispatch("sample_once", payload={"number": 7}))
    step, child = result(row)
    assert (step, calls) == ("stepped", ["one"])
    assert bench.read(child).status is Status.QUEUED
    assert len(every_row(JobRequest)) == 2


# --- before the function is called ----------------------------------------------------------------


@kinds
def test_a_claim_waits_and_one_that_landed_unheard_is_its_own(
    bench: Bench, outage: Outage, kind: str
) -> None:
    row = bench.dispatch("sample_once")
    outage.begin(kind)
    row = bench.run(row)
    assert (row.status, row.invocations) == (Status.SUCCEEDED, 1)
    assert script.jobs_run == [(row.id, 1, 1)]


@pytest.mark.parametrize("kind", ["throttled", "broken", "hanging", "cut off"])
def test_a_claim_that_can_not_be_made_leaves_the_job_due_and_no_failure_record(
    bench: Bench, outage: Outage, kind: str
) -> None:
    row = bench.dispatch("sample_once")
    event = json.loads(encode(JobMessage.about(row)))
    outage.begin(kind, 900)
    job_runners.handlers.worker.handler(event, Context())  # type: ignore[arg-type]
    assert bench.moved < 900_000  # it returned in time: Lambda has nothing to record
    bench.advance(900)
    row = bench.read(row)
    assert (row.status, row.invocations, row.attempt) == (Status.QUEUED, 0, 1)
    assert not script.jobs_run
    bench.tick()
    assert bench.sent_jobs == [row.id]


def test_a_second_delivery_that_fails_before_its_claim_leaves_the_first_alone(
    bench: Bench, outage: Outage
) -> None:
    row = bench.dispatch("sample_once")
    message = JobMessage.about(row)

    def work(job: Any, payload: object) -> str:
        outage.begin("throttled", 1000)
        job_runners.handlers.worker.handler(json.loads(encode(message)), Context())  # type: ignore[arg-type]
        outage.end()
        return "done"

    script.job = work
    execution.run(message, deadline=clock.now() + 1_800_000, send=bench.send)
    assert len(outage.calls) > 1
    assert bench.read(row).status is Status.SUCCEEDED


@pytest.mark.parametrize("kind", ["throttled", "broken", "hanging", "cut off"])
def test_a_payload_that_can_not_be_read_sends_the_job_back_uncounted(
    bench: Bench, outage: Outage, kind: str
) -> None:
    row = bench.dispatch("sample_once", payload={"text": NOISE})
    queued_at = row.queued_at
    outage.begin(kind, 900, service="s3")
    row = bench.run(row)
    assert (row.status, row.invocations, row.attempt) == (Status.QUEUED, 0, 1)
    assert row.queued_at == queued_at
    assert (row.started_at, row.attempt_started_at, row.lease_until) == (None, None, None)
    assert not bench.sent  # at once would be a circle: the timer looks in a minute
    bench.advance(900)
    bench.tick()
    assert bench.sent_jobs == [row.id]
    row = bench.run(row)
    assert row.status is Status.SUCCEEDED
    assert script.jobs_run == [(row.id, 1, 1)]


def test_a_payload_that_can_not_be_read_for_a_day_fails_the_job_as_that(
    bench: Bench, outage: Outage
) -> None:
    row = bench.dispatch("sample_once", payload={"text": NOISE})
    outage.begin("throttled", 1_000_000, service="s3")
    bench.advance(86_400 - 1000)
    assert bench.run(row).status is Status.QUEUED
    bench.advance(86_400)
    row = bench.run(row)
    assert (row.status, row.error["kind"]) == (Status.FAILED, "ClientError")


def test_a_claim_that_comes_late_leaves_the_function_to_another_invocation(
    bench: Bench, outage: Outage
) -> None:
    row = bench.dispatch("sample_once")
    outage.begin("throttled", 500)
    row = bench.run(row)
    assert (row.status, row.invocations) == (Status.QUEUED, 0)
    assert bench.sent_jobs == [row.id]
    assert not script.jobs_run
    bench.deliver()
    assert bench.read(row).status is Status.SUCCEEDED


def test_a_job_that_was_canceled_does_not_go_back(bench: Bench, outage: Outage) -> None:
    row = bench.dispatch("sample_once", payload={"text": NOISE})
    get = blobs.get

    def canceled(*where: Any) -> Any:
        caller_actions.cancel(bench.read(row))
        outage.begin("throttled", 900, service="s3")
        return get(*where)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(blobs, "get", canceled)
        assert bench.run(row).status is Status.CANCELED


# --- a network error tells nothing of the row -----------------------------------------------------


@pytest.mark.parametrize("kind", Outage.KINDS)
def test_a_dispatch_that_aws_does_not_answer_is_503_and_says_when_to_come_back(
    bench: Bench, outage: Outage, kind: str
) -> None:
    outage.begin(kind, 60)
    answer = call("POST", "/jobs", body={"job_type": "sample_once"})
    assert answer.status == 503
    assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize("only", ["UpdateItem", "GetItem"])
@pytest.mark.parametrize("kind", ["throttled", "broken", "hanging", "cut off"])
def test_no_temporary_error_sets_a_row_aside(
    bench: Bench, outage: Outage, kind: str, only: str
) -> None:
    rows = [bench.dispatch("sample_once") for _ in range(3)]
    bench.advance(120)
    outage.begin(kind, 30, only=only)
    counts = bench.tick().counts
    assert not counts["broken"]  # type: ignore[index]
    assert outage.calls
    bench.advance(60)
    bench.tick()
    assert sorted(bench.sent_jobs) == sorted(row.id for row in rows)


def test_a_condition_that_failed_is_told_from_a_connection_that_did(
    bench: Bench, outage: Outage
) -> None:
    row = bench.dispatch("sample_once")
    outage.begin("cut off", 10)
    with pytest.raises(AWS_ERRORS) as cut_off:
        queries.read(row.id)
    assert not condition_failed(cut_off.value)
    assert is_temporary(cut_off.value)


# --- a deploy in progress -------------------------------------------------------------------------


def refused_row(bench: Bench, job_type: str = "sample_once") -> JobRequest:
    """Return a job that the API's newer model took: this worker's does not take its payload."""
    row = bench.dispatch(job_type)
    row.update([JobRequest.payload.set(blobs.put("payloads", {"number": "many"})[0] or b"")])
    return row


@pytest.mark.parametrize("job_type", ["sample_once", "sample_again"])
def test_a_payload_that_this_workers_model_refuses_is_left_for_a_newer_one(
    bench: Bench, job_type: str
) -> None:
    row = bench.run(refused_row(bench, job_type))
    assert (row.status, row.attempt, row.invocations) == (Status.QUEUED, 1, 0)
    bench.advance(61)
    bench.tick()
    assert bench.sent_jobs == [row.id]
    row.update([JobRequest.payload.set(blobs.put("payloads", {"number": 1})[0] or b"")])
    bench.deliver()
    assert bench.read(row).status is Status.SUCCEEDED


def test_after_an_hour_it_fails_as_what_it_is(bench: Bench) -> None:
    row = refused_row(bench, "sample_again")
    for _ in range(70):
        bench.advance(60)
        bench.tick()
        bench.deliver()
    row = bench.read(row)
    assert (row.status, row.error["kind"]) == (Status.FAILED, "InvalidPayload")
    assert row.attempt == 1
    assert row.finished_at is not None
    waited = row.finished_at - row.created_at
    assert clock.HOUR < waited < 2.2 * clock.HOUR


def test_a_payload_that_the_function_itself_refuses_is_its_failure(bench: Bench) -> None:
    def work(job: Any, payload: object) -> None:
        job.dispatch("sample_once", {"number": "many"}, key="child")

    script.job = work
    row = bench.run(bench.dispatch("sample_again"))
    assert (row.status, row.error["kind"]) == (Status.FAILED, "InvalidPayload")


def test_a_claim_that_landed_and_was_not_heard_of_is_given_back(
    bench: Bench, outage: Outage
) -> None:
    """Left running, an untagged job would fail as interrupted, though nothing had run."""
    row = bench.dispatch("sample_once")
    outage.begin("unheard and hanging", 38, only="UpdateItem")
    row = bench.run(row, seconds=60)
    assert len(outage.calls) == 2  # each of 20 seconds
    assert (row.status, row.invocations, row.started_at) == (Status.QUEUED, 0, None)
    assert not script.jobs_run
    assert bench.run(row).status is Status.SUCCEEDED


def test_a_member_that_is_canceled_before_it_is_given_back_continues_its_parent(
    bench: Bench, outage: Outage, monkeypatch: pytest.MonkeyPatch
) -> None:
    gathering = Gathering(bench, 1)
    gathering.start()
    release = transitions.release

    def cancel_first(row: JobRequest) -> Change:
        caller_actions.cancel(row)
        return release(row)

    monkeypatch.setattr(transitions, "release", cancel_first)
    outage.begin("unheard and hanging", 38, only="UpdateItem")
    assert bench.run(gathering.member(0), seconds=60).status is Status.CANCELED
    assert gathering.read().status is Status.QUEUED
