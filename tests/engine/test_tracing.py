"""Traces: which spans there are of a job's life, and how they hang together."""

import io
import json
from contextvars import Context
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind, StatusCode

import clock
import handlers.failures
import settings
from api_events import call, request, send
from errors import UnknownTask
from fake_lambda import FakeLambda
from runners import execution, owner_actions, pausing, telemetry, timer, tracing
from runners.messages import Message, TaskMessage, decode, encode
from sample_work import script
from spans import Spans, id_of, links_of, parent_of, trace_of
from store import job_request, queries, verbs
from store.job_request import JobRequest, Status
from store.pauses import Kind
from telemetry_lines import logged
from testing import lambda_context
from testing.movable_clock import MovableClock

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Sent:
    """Messages that the worker has sent, run when told to."""

    def __init__(self, movable: MovableClock) -> None:
        self.clock = movable
        self.messages: list[Message] = []

    def send(self, message: Message, delay: float = 0) -> None:
        """Keep a message, as it comes through JSON."""
        self.messages.append(decode(encode(message)))

    def run(self, message: Message | None = None, seconds: int = 900) -> None:
        """Run this message, or the next that was sent."""
        deadline = clock.now() + seconds * clock.SECOND
        execution.run(message or self.messages.pop(0), deadline=deadline, send=self.send)


@pytest.fixture
def sent(worker: FakeLambda, spans: Spans, monkeypatch: pytest.MonkeyPatch) -> Sent:
    """Work that a FakeLambda is sent by the API, on a clock that is moved."""
    movable = MovableClock()
    monkeypatch.setattr(clock, "now", movable.now)
    monkeypatch.setattr(clock, "sleep", movable.advance)
    monkeypatch.setattr(job_request, "DUE_SHARDS", 2)
    return Sent(movable)


def post(job_type: str = "sample_again", traceparent: str | None = None, **fields: Any) -> str:
    """Dispatch a job by HTTP; return its id."""
    headers = {"content-type": "application/json"}
    headers |= {"traceparent": traceparent} if traceparent else {}
    body = {"job_type": job_type, "organization_id": "acme", "payload": {}, **fields}
    answer = call("POST", "/jobs", body=body, headers=headers)
    assert answer.status == 202, answer.text
    job_id: str = answer.json["id"]
    return job_id


def read(job_id: str) -> JobRequest:
    row = queries.read(job_id)
    assert row is not None
    return row


def arrived(worker: FakeLambda) -> Message:
    """Return the message that the worker has been sent."""
    return decode(worker.events.pop(0))


def fail(job: Any, payload: object) -> None:
    raise ValueError("no luck")


# --- one trace ------------------------------------------------------------------------------------


def test_a_request_its_dispatch_and_the_first_leg_are_one_trace(
    sent: Sent, worker: FakeLambda, spans: Spans
) -> None:
    job_id = post()
    worker.deliver()
    asked, sending, leg = (spans.one(name) for name in ORDER)
    assert parent_of(asked) is None
    assert parent_of(sending) == id_of(asked)
    assert parent_of(leg) == id_of(sending)
    assert len({trace_of(span) for span in (asked, sending, leg)}) == 1
    assert read(job_id).traceparent == f"00-{trace_of(sending):032x}-{id_of(sending):016x}-01"


ORDER = ("POST /jobs", "send sample_again", "process sample_again")


def test_it_goes_on_in_the_callers_trace(sent: Sent, worker: FakeLambda, spans: Spans) -> None:
    post(traceparent=CALLER)
    worker.deliver()
    assert parent_of(spans.one("POST /jobs")) == 0xB7AD6B7169203331
    assert {trace_of(span) for span in spans.all} == {0x0AF7651916CD43DD8448EB211C80319C}


@pytest.mark.parametrize(
    "garbage",
    [
        "x",
        CALLER[:-1],
        f"{CALLER}0",
        f"{CALLER},{CALLER}",
        CALLER.upper(),
        f"ff{CALLER[2:]}",
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"00-0af7651916cd43dd8448eb211c80319c-{'0' * 16}-01",
        CALLER.replace("-", "_"),
    ],
)
def test_garbage_in_its_place_is_ignored(
    sent: Sent, worker: FakeLambda, spans: Spans, garbage: str
) -> None:
    post(traceparent=garbage)
    asked = spans.one("POST /jobs")
    assert (parent_of(asked), asked.status.status_code) == (None, StatusCode.UNSET)


def test_a_request_of_somebody_unknown_is_not_traced(
    sent: Sent, worker: FakeLambda, spans: Spans
) -> None:
    event = request("GET", "/health", headers={"traceparent": CALLER})
    del event["requestContext"]["authorizer"]
    assert send(event).status == 200
    assert spans.names == []


def test_what_the_spans_are_called_is_in_opentelemetrys_conventions(
    sent: Sent, worker: FakeLambda, spans: Spans
) -> None:
    job_id = post("sample_once")
    worker.deliver()
    asked, sending, leg = (spans.one(name.replace("again", "once")) for name in ORDER)
    assert (asked.kind, sending.kind, leg.kind) == (
        *(SpanKind.SERVER, SpanKind.PRODUCER, SpanKind.CONSUMER),
    )
    assert dict(asked.attributes or {}) == {
        "faas.trigger": "http",
        "url.scheme": "https",
        "http.request.method": "POST",
        "http.route": "/jobs",
        "http.response.status_code": 202,
    }
    common = {
        "messaging.system": "job_runners",
        "messaging.destination.name": "sample_once",
        "messaging.message.id": job_id,
        "job_runners.organization_id": "acme",
        "job_runners.queue_name": "default",
        "job_runners.attempt": 1,
    }
    assert dict(sending.attributes or {}) == common | {
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "job_runners.leg": 0,
    }
    seen = dict(leg.attributes or {})
    assert isinstance(seen.pop("faas.coldstart"), bool)
    assert seen.pop("job_runners.queue_wait_ms", None) is not None
    assert seen == common | {
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "faas.trigger": "pubsub",
        "faas.invocation_id": lambda_context.Context.aws_request_id,
        "job_runners.leg": 1,
        "job_runners.outcome": "succeeded",
    }
    assert {name for name in seen | common if not name.startswith("job_runners.")} <= _conventions()


def _conventions() -> set[str]:
    from opentelemetry.semconv._incubating.attributes import faas_attributes, messaging_attributes

    return {
        value
        for module in (faas_attributes, messaging_attributes)
        for name, value in vars(module).items()
        if name.startswith(("FAAS_", "MESSAGING_"))
    }


# --- legs and attempts ----------------------------------------------------------------------------


def test_the_next_leg_is_a_child_of_the_one_before(
    sent: Sent, worker: FakeLambda, spans: Spans
) -> None:
    def work(job: Any, payload: object) -> None:
        sent.clock.advance(880 if job.leg == 1 else 0)
        job.checkpoint(1)

    script.job = work
    post()
    sent.run(arrived(worker))
    sent.run()
    first, second = spans.named("process sample_again")
    assert parent_of(second) == id_of(first)
    assert trace_of(second) == trace_of(first)
    assert [outcome(each) for each in (first, second)] == ["leg over", "succeeded"]


def outcome(span: Any) -> Any:
    return span.attributes["job_runners.outcome"]


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
    leg = spans.one("process sample_once")
    assert (outcome(leg), leg.status.status_code) == ("failed", StatusCode.ERROR)


def test_a_running_job_that_is_cancelled_has_a_span_that_says_so(
    sent: Sent, worker: FakeLambda, spans: Spans
) -> None:
    def work(job: Any, payload: object) -> None:
        owner_actions.cancel(read(job.id))
        job.checkpoint(1)

    script.job = work
    job_id = post()
    worker.deliver()
    leg = spans.one("process sample_again")
    assert read(job_id).status is Status.CANCELLED
    assert (outcome(leg), leg.status.status_code) == ("cancelled", StatusCode.UNSET)


def test_a_second_message_about_a_job_has_a_span_that_says_so(
    sent: Sent, worker: FakeLambda, spans: Spans
) -> None:
    post()
    message = arrived(worker)
    sent.run(message)
    sent.run(message)
    assert [outcome(leg) for leg in spans.named("process sample_again")] == [
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
        sent.clock.advance(880 if job.leg == 1 else 0)
        job.checkpoint(1)

    script.job = parent
    post("sample_once")
    sent.run(arrived(worker))
    sent.run()
    sent.run()
    sending, leg = spans.one("send sample_again"), spans.one("process sample_once")
    assert parent_of(sending) == id_of(leg)
    first, second = spans.named("process sample_again")
    assert (parent_of(first), links_of(first)) == (None, [id_of(sending)])
    assert trace_of(first) != trace_of(leg)
    assert (parent_of(second), links_of(second)) == (id_of(first), [id_of(sending)])


def test_a_job_that_the_timer_sends_links_to_its_dispatch(
    sent: Sent, worker: FakeLambda, spans: Spans
) -> None:
    post(delay=7200)
    assert not worker.events
    sent.clock.advance(7260)
    timer.tick(sent.send, until=clock.now() + clock.MINUTE)
    sent.run()
    leg = spans.one("process sample_again")
    assert (parent_of(leg), links_of(leg)) == (None, [id_of(spans.one("send sample_again"))])
    assert outcome(leg) == "succeeded"


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
    parked, _, let_on = spans.named("process sample_again")
    sending = spans.named("send sample_again")[1]
    assert (outcome(parked), parent_of(parked)) == ("waits for room", id_of(sending))
    assert (outcome(let_on), parent_of(let_on), links_of(let_on)) == (
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
    held_back, leg = spans.named("process sample_again")
    sending = spans.one("send sample_again")
    assert (outcome(held_back), parent_of(held_back)) == ("held back", id_of(sending))
    assert (outcome(leg), parent_of(leg), links_of(leg)) == ("succeeded", None, [id_of(sending)])


# --- workers that can't tell ----------------------------------------------------------------------


def test_the_failure_record_of_a_killed_leg_is_a_span_in_its_place(
    sent: Sent, worker: FakeLambda, spans: Spans
) -> None:
    job_id = post()
    event = worker.events.pop(0)
    verbs.claim(
        job_id, job_type="sample_again", send_id=event["send_id"], deadline=clock.now() + 900_000
    )
    record = {
        "requestContext": {"condition": "RetriesExhausted", "approximateInvokeCount": 1},
        "requestPayload": event,
        "responsePayload": {"errorMessage": "Task timed out after 900.00 seconds"},
    }
    batch = {"Records": [{"messageId": "m", "body": json.dumps(record)}]}
    handlers.failures.handler(batch, lambda_context.Context())  # type: ignore[arg-type]
    settled = spans.one("settle sample_again")
    assert parent_of(settled) == id_of(spans.one("send sample_again"))
    assert (outcome(settled), settled.status.status_code) == ("retryable", StatusCode.ERROR)
    assert (settled.attributes or {})["error.type"] == "Interrupted"
    assert read(job_id).status is Status.RETRYABLE


def test_a_job_that_the_timer_rescues_has_a_span_that_links_to_its_dispatch(
    sent: Sent, worker: FakeLambda, spans: Spans
) -> None:
    job_id = post()
    verbs.claim(job_id, job_type="sample_again", send_id="s", deadline=clock.now() + 60_000)
    sent.clock.advance(180)
    timer.tick(sent.send, until=clock.now() + clock.MINUTE)
    settled = spans.one("settle sample_again")
    assert links_of(settled) == [id_of(spans.one("send sample_again"))]
    assert (outcome(settled), parent_of(settled)) == ("retryable", None)


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


# --- tasks ----------------------------------------------------------------------------------------


def test_a_task_is_in_the_trace_of_what_dispatches_it_with_its_next_attempt(
    sent: Sent, worker: FakeLambda, spans: Spans
) -> None:
    def work(job: Any, payload: object) -> None:
        job.dispatch_task("sample_note_again", {})

    def fail_once(payload: object) -> None:
        script.task = lambda payload: None
        raise ValueError("no luck")

    script.job, script.task = work, fail_once
    post()
    sent.run(arrived(worker))
    sent.run()
    sent.run()
    sending = spans.one("send sample_note_again")
    first, second = spans.named("process sample_note_again")
    assert parent_of(sending) == id_of(spans.one("process sample_again"))
    assert [parent_of(first), parent_of(second)] == [id_of(sending)] * 2
    assert [outcome(first), outcome(second)] == ["will retry", "task done"]


def test_a_failed_task_that_is_sent_again_is_in_the_trace_of_who_asked_for_that(
    sent: Sent, worker: FakeLambda, spans: Spans, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEEP_TASK_PAYLOADS", "true")
    settings.forget()
    script.task = lambda payload: fail(None, payload)
    answer = call("POST", "/tasks", body={"task_name": "sample_note", "payload": {}})
    worker.deliver()
    script.task = lambda payload: None
    assert call("POST", f"/tasks/failed/{answer.json['id']}/redrive").status == 202
    worker.deliver()
    first, second = spans.named("process sample_note")
    asked, asked_again = (span for span in spans.all if span.kind is SpanKind.SERVER)
    assert (outcome(first), outcome(second)) == ("task failed", "task done")
    assert parent_of(spans.one("send sample_note")) == id_of(asked)
    assert parent_of(second) == id_of(asked_again)


def test_what_goes_wrong_after_the_outcome_is_not_the_works(spans: Spans) -> None:
    with tracing.working(TaskMessage(id="t", name="n", payload={})):
        tracing.ended("task done")
        tracing.ended("crashed", OSError("who waits next was not let on"))
    span = spans.one("process n")
    assert (outcome(span), span.status.status_code) == ("task done", StatusCode.UNSET)


def test_an_event_that_raises_has_a_span_that_ends_and_says_why(
    sent: Sent, worker: FakeLambda, spans: Spans
) -> None:
    with pytest.raises(UnknownTask):
        sent.run(TaskMessage(id="t", name="gone", payload={}, traceparent=CALLER))
    span = spans.one("process gone")
    assert span.status.status_code is StatusCode.ERROR
    assert [event.name for event in span.events] == ["exception"]
    assert parent_of(span) == 0xB7AD6B7169203331


# --- lines, rows and messages ---------------------------------------------------------------------


def test_the_lines_of_a_leg_name_its_trace(
    sent: Sent, worker: FakeLambda, spans: Spans, lines: io.StringIO
) -> None:
    script.job = lambda job, payload: telemetry.logger.info("from the job")
    post()
    lines.truncate(0)
    lines.seek(0)
    worker.deliver()
    leg = spans.one("process sample_again")
    named = {(line["trace_id"], line["span_id"]) for line in logged(lines)}
    assert named == {(f"{trace_of(leg):032x}", f"{id_of(leg):016x}")}


def test_without_traces_rows_messages_and_lines_carry_nothing(
    worker: FakeLambda, lines: io.StringIO
) -> None:
    job_id = post(traceparent=CALLER)
    assert "traceparent" not in worker.events[0]
    assert read(job_id).traceparent is None
    worker.deliver()
    assert not [line for line in logged(lines) if "trace_id" in line]
