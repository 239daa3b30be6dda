"""Traces: what a request dispatches is in its trace, and what rows, messages and lines carry."""

import io
from typing import Any

import pytest
from opentelemetry.trace import SpanKind, StatusCode

from api_events import call, request, send
from fake_lambda import FakeLambda
from job_runners import settings
from job_runners.engine.telemetry import telemetry, tracing
from job_runners.engine.wire.messages import TaskMessage
from job_runners.errors import UnknownTask
from job_runners.testing import lambda_context
from job_runners.testing.plain_clients import full_client
from sample_work import script
from spans import Spans, id_of, links_of, parent_of, trace_of
from telemetry_lines import logged
from traced import CALLER, ORDER, Sent, arrived, fail, outcome, post, read

# --- one trace ------------------------------------------------------------------------------------


def test_a_request_its_dispatch_and_the_first_invocation_are_one_trace(
    sent: Sent, worker: FakeLambda, spans: Spans
) -> None:
    job_id = post()
    worker.deliver()
    asked, sending, invocation = (spans.one(name) for name in ORDER)
    assert parent_of(asked) is None
    assert parent_of(sending) == id_of(asked)
    assert parent_of(invocation) == id_of(sending)
    assert len({trace_of(span) for span in (asked, sending, invocation)}) == 1
    assert [links_of(span) for span in (asked, sending, invocation)] == [[], [], []]
    assert read(job_id).traceparent == f"00-{trace_of(sending):032x}-{id_of(sending):016x}-01"


def test_it_goes_on_in_the_callers_trace(sent: Sent, worker: FakeLambda, spans: Spans) -> None:
    post(traceparent=CALLER)
    worker.deliver()
    assert parent_of(spans.one("POST /jobs")) == 0xB7AD6B7169203331
    assert {trace_of(span) for span in spans.all} == {0x0AF7651916CD43DD8448EB211C80319C}


def test_what_its_caller_does_not_record_is_not_recorded_here_and_says_so_on(
    sent: Sent, worker: FakeLambda, spans: Spans
) -> None:
    job_id = post(traceparent=f"{CALLER[:-2]}00")
    worker.deliver()
    assert spans.names == []
    said = str(read(job_id).traceparent)
    assert (said.split("-")[1], said[-3:]) == (CALLER.split("-")[1], "-00")


@pytest.mark.parametrize("flags", ["00", "01"])
def test_a_caller_of_one_organization_chooses_neither_the_trace_nor_what_is_recorded(
    sent: Sent, worker: FakeLambda, spans: Spans, monkeypatch: pytest.MonkeyPatch, flags: str
) -> None:
    monkeypatch.setenv("ACCESS_MODE", "jwt")
    settings.forget()
    claims = {"sub": "u", "organization_id": "acme"}
    headers = {"traceparent": f"{CALLER[:-2]}{flags}"}
    for role in ("operator", "service"):
        answer = call(
            "GET",
            "/jobs",
            headers=headers,
            claims=claims | {"roles": role},
            query={"organization_id": "acme"},
        )
        assert answer.status == 200
    asked, *of_service = [span for span in spans.all if span.name == "GET /jobs"]
    assert (parent_of(asked), len(links_of(asked))) == (None, 1)
    assert trace_of(asked) != 0x0AF7651916CD43DD8448EB211C80319C
    assert [parent_of(span) for span in of_service] == [0xB7AD6B7169203331] * int(flags)


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


@pytest.mark.parametrize(("there", "status"), [(False, 500), (True, 404)])
def test_a_request_has_failed_where_that_is_not_its_callers_doing(
    worker: FakeLambda, spans: Spans, there: bool, status: int
) -> None:
    if not there:
        full_client("dynamodb").delete_table(TableName="jobs")
    assert call("GET", f"/jobs/{'0' * 32}").status == status
    asked = spans.one("GET /jobs/{job_id}")
    has_failed = asked.status.status_code is StatusCode.ERROR
    assert has_failed == (status == 500)
    assert (asked.attributes or {}).get("error.type") == ("500" if has_failed else None)


def test_what_the_spans_are_called_is_in_opentelemetrys_conventions(
    sent: Sent, worker: FakeLambda, spans: Spans
) -> None:
    job_id = post("sample_once")
    worker.deliver()
    asked, sending, invocation = (spans.one(name.replace("again", "once")) for name in ORDER)
    assert (asked.kind, sending.kind, invocation.kind) == (
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
        "job_runners.invocation": 0,
    }
    seen = dict(invocation.attributes or {})
    assert isinstance(seen.pop("faas.coldstart"), bool)
    assert seen.pop("job_runners.queue_wait_ms", None) is not None
    assert seen == common | {
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "faas.trigger": "pubsub",
        "faas.invocation_id": lambda_context.Context.aws_request_id,
        "job_runners.invocation": 1,
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
        tracing.ended("crashed", OSError("who waits next was not admitted"))
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


def test_the_lines_of_an_invocation_name_its_trace(
    sent: Sent, worker: FakeLambda, spans: Spans, lines: io.StringIO
) -> None:
    script.job = lambda job, payload: telemetry.logger.info("from the job")
    post()
    lines.truncate(0)
    lines.seek(0)
    worker.deliver()
    invocation = spans.one("process sample_again")
    named = {(line["trace_id"], line["span_id"]) for line in logged(lines)}
    assert named == {(f"{trace_of(invocation):032x}", f"{id_of(invocation):016x}")}


def test_without_traces_rows_messages_and_lines_carry_nothing(
    worker: FakeLambda, lines: io.StringIO
) -> None:
    job_id = post(traceparent=CALLER)
    assert "traceparent" not in worker.events[0]
    assert read(job_id).traceparent is None
    worker.deliver()
    assert not [line for line in logged(lines) if "trace_id" in line]
