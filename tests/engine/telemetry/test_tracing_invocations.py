"""Traces: the invocations and attempts of a job, and how those that waited lead to its dispatch."""

import json
from contextvars import Context
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import StatusCode

import job_runners.handlers.failures
from api_events import call
from fake_lambda import FakeLambda
from job_runners import clock, settings
from job_runners.engine.control import caller_actions
from job_runners.engine.lines import pausing
from job_runners.engine.telemetry import tracing
from job_runners.engine.tick import timer
from job_runners.engine.wire.messages import QueueMessage
from job_runners.store import transitions
from job_runners.store.job_request import Status
from job_runners.store.pauses import Kind
from job_runners.testing import lambda_context
from sample_work import script
from spans import Spans, id_of, links_of, parent_of, trace_of
from traced import ORDER, Sent, arrived, fail, outcome, post, read

# --- invocations and attempts
# ----------------------------------------------------------------------------


def test_the_next_invocation_is_a_child_of_the_one_before(
    sent: Sent, worker: FakeLambda, spans: Spans
) -> None:
    def work(job: Any, payload: object) -> None:
        sent.clock.advance(880 if job.invocation == 1 else 0)
        job.checkpoint(1)

    script.job = work
    post()
    sent.run(arrived(worker))
    sent.run()
    first, second = spans.named("process sample_again")
    assert parent_of(second) == id_of(first)
    assert trace_of(second) == trace_of(first)
    assert [outcome(each) for each in (first, second)] == ["invocation over", "succeeded"]


def test_the_next_attempt_is_a_child_of_the_one_that_failed(
    sent: Sent, worker: FakeLambda, spans: Spans
) -> None:
    script.job = fail
    post()
    sent.run(arrived(worker))
    sent.clock.advance(120)
    script.job = lambda job, payload: None
    sent.run()
    first, second = spans.named("process sample_again")
    assert parent_of(second) == id_of(first)
    assert (outcome(first), first.status.status_code) == ("will retry", StatusCode.ERROR)
    assert (first.attributes or {})["error.type"] == "ValueError"
    assert [event.name for event in first.events] == ["exception"]
    assert (outcome(second), second.status.status_code) == ("succeeded", StatusCode.UNSET)
    assert (second.attributes or {})["job_runners.attempt"] == 2


def test_a_job_that_fails_for_good_says_so(sent: Sent, worker: FakeLambda, spans: Spans) -> None:
    script.job = fail
    post("sample_once")
    worker.deliver()
    invocation = spans.one("process sample_once")
    assert (outcome(invocation), invocation.status.status_code) == ("failed", StatusCode.ERROR)


def test_a_running_job_that_is_canceled_has_a_span_that_says_so(
    sent: Sent, worker: FakeLambda, spans: Spans
) -> None:
    def work(job: Any, payload: object) -> None:
        caller_actions.cancel(read(job.id))
        job.checkpoint(1)

    script.job = work
    job_id = post()
    worker.deliver()
    invocation = spans.one("process sample_again")
    assert read(job_id).status is Status.CANCELED
    assert (outcome(invocation), invocation.status.status_code) == ("canceled", StatusCode.UNSET)


def test_a_second_message_about_a_job_has_a_span_that_says_so(
    sent: Sent, worker: FakeLambda, spans: Spans
) -> None:
    post()
    message = arrived(worker)
    sent.run(message)
    sent.run(message)
    assert [outcome(invocation) for invocation in spans.named("process sample_again")] == [
        *("succeeded", "not claimed"),
    ]


def test_a_job_that_its_owner_has_done_again_goes_on_in_the_trace_of_that_request(
    sent: Sent, worker: FakeLambda, spans: Spans
) -> None:
    script.job = fail
    job_id = post("sample_once")
    worker.deliver()
    script.job = lambda job, payload: None
    assert call("POST", f"/jobs/{job_id}/retry").status == 202
    worker.deliver()
    dispatched, asked_again = spans.named("send sample_once")
    first, second = spans.named("process sample_once")
    assert parent_of(second) == id_of(asked_again)
    assert parent_of(asked_again) == id_of(spans.one("POST /jobs/{job_id}/retry"))
    assert trace_of(second) != trace_of(first)
    assert links_of(second) == [id_of(dispatched)]


# --- links: what waited, and children -------------------------------------------------------------


def test_a_child_is_in_a_trace_of_its_own_that_links_to_where_it_was_dispatched(
    sent: Sent, worker: FakeLambda, spans: Spans
) -> None:
    def parent(job: Any, payload: object) -> None:
        script.job = child
        job.dispatch("sample_again", {}, key="one")

    def child(job: Any, payload: object) -> None:
        sent.clock.advance(880 if job.invocation == 1 else 0)
        job.checkpoint(1)

    script.job = parent
    post("sample_once")
    sent.run(arrived(worker))
    sent.run()
    sent.run()
    sending, invocation = spans.one("send sample_again"), spans.one("process sample_once")
    assert parent_of(sending) == id_of(invocation)
    first, second = spans.named("process sample_again")
    assert (parent_of(first), links_of(first)) == (None, [id_of(sending)])
    assert trace_of(first) != trace_of(invocation)
    assert (parent_of(second), links_of(second)) == (id_of(first), [id_of(sending)])


def test_a_job_that_the_timer_sends_links_to_its_dispatch(
    sent: Sent, worker: FakeLambda, spans: Spans
) -> None:
    post(delay=7200)
    assert not worker.events
    sent.clock.advance(7260)
    timer.tick(sent.send, until=clock.now() + clock.MINUTE)
    sent.run()
    invocation = spans.one("process sample_again")
    assert (parent_of(invocation), links_of(invocation)) == (
        None,
        [id_of(spans.one("send sample_again"))],
    )
    assert outcome(invocation) == "succeeded"


def test_a_job_that_waited_in_line_links_to_its_dispatch_and_not_to_whom_it_waited_for(
    sent: Sent, worker: FakeLambda, spans: Spans
) -> None:
    def work(job: Any, payload: object) -> None:
        if job.id == first_id:
            sent.run(second)  # while the first has the only slot

    script.job = work
    first_id = post(queue_name="sample_slots")
    first = arrived(worker)
    second_id = post(queue_name="sample_slots")
    second = arrived(worker)
    sent.run(first)
    assert read(second_id).admitted_at is not None
    sent.run()
    assert read(second_id).status is Status.SUCCEEDED
    held, _, admitted = spans.named("process sample_again")
    sending = spans.named("send sample_again")[1]
    assert (outcome(held), parent_of(held)) == ("waits for capacity", id_of(sending))
    assert (outcome(admitted), parent_of(admitted), links_of(admitted)) == (
        *("succeeded", None, [id_of(sending)]),
    )


def test_a_job_that_was_paused_links_to_its_dispatch(
    sent: Sent, worker: FakeLambda, spans: Spans
) -> None:
    post()
    pausing.pause(Kind.QUEUE, "default")
    sent.run(arrived(worker))
    with tracing.dispatching("whoever resumes"):
        pausing.resume(Kind.QUEUE, "default", sent.send)
    sent.run()
    paused, invocation = spans.named("process sample_again")
    sending = spans.one("send sample_again")
    assert (outcome(paused), parent_of(paused)) == ("waits for resume", id_of(sending))
    assert (outcome(invocation), parent_of(invocation), links_of(invocation)) == (
        "succeeded",
        None,
        [id_of(sending)],
    )


def test_a_job_dispatched_before_traces_were_asked_for_has_an_invocation_that_leads_nowhere(
    sent: Sent, worker: FakeLambda, spans: Spans, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACES", "")
    settings.forget()
    post()
    monkeypatch.setenv("TRACES", "true")
    settings.forget()
    worker.deliver()
    invocation = spans.one("process sample_again")
    assert (outcome(invocation), parent_of(invocation), links_of(invocation)) == (
        "succeeded",
        None,
        [],
    )


def test_a_request_that_resumes_does_not_end_as_a_job_does_that_is_paused_again(
    sent: Sent, worker: FakeLambda, spans: Spans
) -> None:
    job_id = post()
    assert call("PUT", "/paused/job_type/sample_again").status == 200
    sent.run(arrived(worker))
    assert call("PUT", "/paused/queue/default").status == 200
    assert call("DELETE", "/paused/job_type/sample_again").status == 204
    assert read(job_id).held_by == "queue#default"
    asked = spans.one("DELETE /paused/{kind}/{name}")
    assert "job_runners.outcome" not in (asked.attributes or {})


def test_a_message_about_a_line_has_a_span_that_names_its_queue(sent: Sent, spans: Spans) -> None:
    sent.run(QueueMessage(queue_name="sample_slots", concurrency_key="*"))
    assert parent_of(spans.one("process sample_slots")) is None


# --- workers that can't tell ----------------------------------------------------------------------


def test_the_failure_record_of_a_killed_invocation_is_a_span_in_its_place(
    sent: Sent, worker: FakeLambda, spans: Spans
) -> None:
    job_id = post()
    event = worker.events.pop(0)
    transitions.claim(
        job_id, job_type="sample_again", send_id=event["send_id"], deadline=clock.now() + 900_000
    )
    record = {
        "requestContext": {"condition": "RetriesExhausted", "approximateInvokeCount": 1},
        "requestPayload": event,
        "responsePayload": {"errorMessage": "Task timed out after 900.00 seconds"},
    }
    batch = {"Records": [{"messageId": "m", "body": json.dumps(record)}]}
    job_runners.handlers.failures.handler(batch, lambda_context.Context())  # type: ignore[arg-type]
    settled = spans.one("settle sample_again")
    assert parent_of(settled) == id_of(spans.one("send sample_again"))
    assert (outcome(settled), settled.status.status_code) == ("retryable", StatusCode.ERROR)
    assert (settled.attributes or {})["error.type"] == "Interrupted"
    assert read(job_id).status is Status.RETRYABLE


def test_a_job_that_the_timer_rescues_has_a_span_that_links_to_its_dispatch(
    sent: Sent, worker: FakeLambda, spans: Spans
) -> None:
    job_id = post()
    transitions.claim(job_id, job_type="sample_again", send_id="s", deadline=clock.now() + 60_000)
    sent.clock.advance(180)
    timer.tick(sent.send, until=clock.now() + clock.MINUTE)
    settled = spans.one("settle sample_again")
    assert links_of(settled) == [id_of(spans.one("send sample_again"))]
    assert (settled.status.status_code, parent_of(settled)) == (StatusCode.ERROR, None)
    assert [event.name for event in settled.events] == ["exception"]
    assert dict(settled.attributes or {}) == {
        "messaging.system": "job_runners",
        "messaging.operation.name": "settle",
        "messaging.operation.type": "settle",
        "messaging.destination.name": "sample_again",
        "messaging.message.id": job_id,
        "job_runners.organization_id": "acme",
        "job_runners.queue_name": "default",
        "job_runners.attempt": 2,
        "job_runners.invocation": 1,
        "job_runners.outcome": "retryable",
        "error.type": "Interrupted",
    }


def test_without_traces_a_rescue_has_no_span(
    sent: Sent, spans: Spans, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRACES")
    settings.forget()
    job_id = post()
    transitions.claim(job_id, job_type="sample_again", send_id="s", deadline=clock.now() + 60_000)
    sent.clock.advance(180)
    timer.tick(sent.send, until=clock.now() + clock.MINUTE)
    assert read(job_id).status is Status.RETRYABLE
    assert spans.names == []


def test_a_lost_claim_has_a_span_that_says_so(sent: Sent, worker: FakeLambda, spans: Spans) -> None:
    def work(job: Any, payload: object) -> None:
        sent.clock.advance(3600)  # a process that was frozen
        timer_process = Context()
        timer_process.run(timer.tick, sent.send, until=clock.now() + clock.MINUTE)

    script.job = work
    post()
    sent.run(arrived(worker))
    assert outcome(spans.one("process sample_again")) == "claim lost"


@pytest.mark.parametrize("error", [None, OSError("the collector is away")])
def test_spans_leave_before_lambda_freezes_the_process_and_if_they_can_not_no_job_fails(
    sent: Sent,
    worker: FakeLambda,
    spans: Spans,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception | None,
) -> None:
    left: list[tuple[str, ...]] = []

    def flush(self: object, timeout_millis: int = 30_000) -> bool:
        assert timeout_millis <= 2_000
        left.append(tuple(spans.names))
        if error:
            raise error
        return True

    monkeypatch.setattr(TracerProvider, "force_flush", flush)
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "worker")
    settings.forget()
    job_id = post()
    worker.deliver()
    assert left == [(ORDER[1], ORDER[0]), (ORDER[1], ORDER[0], ORDER[2])]
    assert read(job_id).status is Status.SUCCEEDED
