"""Traces beside what a layer brings: its own spans around ours, an older OpenTelemetry, or none."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import opentelemetry.sdk.trace
import pytest
from opentelemetry import trace

from fake_lambda import FakeLambda
from job_runners import clock, settings
from job_runners.engine.registry.registry import Registry, registry
from job_runners.engine.running import execution
from job_runners.engine.telemetry.spans import parse_traceparent
from job_runners.engine.tick import timer
from job_runners.store import transitions
from job_runners.store.job_request import Status
from spans import Spans, id_of, links_of, parent_of
from traced import CALLER, ORDER, Sent, arrived, post, read

REQUEST, SENDING, INVOCATION = ORDER


@contextmanager
def span_of_a_layer(caller: str | None = None) -> Iterator[int]:
    """Be in a span that a layer has begun, in its caller's trace if there is one; yield its id."""
    sender = parse_traceparent(caller)
    context = trace.set_span_in_context(trace.NonRecordingSpan(sender)) if sender else None
    with trace.get_tracer("a layer").start_as_current_span("handler", context=context) as span:
        yield span.get_span_context().span_id


@pytest.fixture
def on_lambda(sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "worker")
    settings.forget()


# --- spans around ours ----------------------------------------------------------------------------


def test_an_invocation_is_a_child_of_what_sent_it_and_links_to_what_is_around_it(
    sent: Sent, worker: FakeLambda, spans: Spans
) -> None:
    post()
    with span_of_a_layer() as around:
        worker.deliver()
    invocation = spans.one(INVOCATION)
    assert (parent_of(invocation), links_of(invocation)) == (id_of(spans.one(SENDING)), [around])


def test_an_invocation_that_the_timer_sends_is_in_a_trace_of_its_own_whatever_is_around_it(
    sent: Sent, worker: FakeLambda, spans: Spans
) -> None:
    post(delay=7200)
    sent.clock.advance(7260)
    timer.tick(sent.send, until=clock.now() + clock.MINUTE)
    with span_of_a_layer() as around:
        sent.run()
    invocation = spans.one(INVOCATION)
    assert (parent_of(invocation), links_of(invocation)) == (
        None,
        [around, id_of(spans.one(SENDING))],
    )


def test_a_request_is_a_part_of_what_is_around_it(
    sent: Sent, worker: FakeLambda, spans: Spans
) -> None:
    with span_of_a_layer() as around:
        post()
    asked = spans.one(REQUEST)
    assert (parent_of(asked), links_of(asked)) == (around, [])


@pytest.mark.parametrize("in_callers_trace", [True, False])
def test_a_request_is_a_part_of_its_callers_trace_and_links_to_what_is_in_another(
    sent: Sent, worker: FakeLambda, spans: Spans, in_callers_trace: bool
) -> None:
    with span_of_a_layer(CALLER if in_callers_trace else None) as around:
        post(traceparent=CALLER)
    asked = spans.one(REQUEST)
    assert parent_of(asked) == 0xB7AD6B7169203331
    assert links_of(asked) == ([] if in_callers_trace else [around])


# --- another OpenTelemetry, or none ---------------------------------------------------------------


def test_with_an_opentelemetry_that_can_not_link_later_an_invocation_has_no_link(
    sent: Sent, worker: FakeLambda, spans: Spans, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(opentelemetry.sdk.trace.Span, "add_link")
    monkeypatch.delattr(trace.Span, "add_link")
    job_id = post(delay=7200)
    sent.clock.advance(7260)
    timer.tick(sent.send, until=clock.now() + clock.MINUTE)
    sent.run()
    assert links_of(spans.one(INVOCATION)) == []
    assert read(job_id).status is Status.SUCCEEDED


def test_with_an_opentelemetry_that_keeps_every_link_none_leads_nowhere(
    sent: Sent, worker: FakeLambda, spans: Spans, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opentelemetry.sdk.trace, "_is_valid_link", lambda *_: True)
    post()
    worker.deliver()
    assert [links_of(spans.one(name)) for name in ORDER] == [[], [], []]


def test_the_app_which_may_set_opentelemetry_up_is_loaded_before_the_first_span(
    sent: Sent, worker: FakeLambda, spans: Spans, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_span: list[bool] = []

    def load() -> Registry:
        in_span.append(trace.get_current_span().is_recording())
        return registry()

    monkeypatch.setattr(execution, "registry", load)
    post()
    sent.run(arrived(worker))
    assert in_span[0] is False
    assert in_span[-1] is True


@pytest.mark.usefixtures("on_lambda")
@pytest.mark.parametrize("has_api", [True, False])
def test_where_opentelemetry_is_not_set_up_the_work_is_done_all_the_same(
    sent: Sent, worker: FakeLambda, monkeypatch: pytest.MonkeyPatch, has_api: bool
) -> None:
    if has_api:
        monkeypatch.setattr(trace, "get_tracer_provider", trace.NoOpTracerProvider)
    else:
        monkeypatch.setitem(sys.modules, "opentelemetry.trace", None)
    job_id = post()
    assert "traceparent" not in worker.events[0]
    worker.deliver()
    row = read(job_id)
    assert (row.status, row.traceparent) == (Status.SUCCEEDED, None)
    killed = post()
    transitions.claim(killed, job_type="sample_again", send_id="s", deadline=clock.now() + 60_000)
    sent.clock.advance(180)
    timer.tick(sent.send, until=clock.now() + clock.MINUTE)
    assert read(killed).status is Status.RETRYABLE


def test_off_lambda_no_work_waits_until_its_spans_have_left(
    sent: Sent, worker: FakeLambda, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[object] = []
    provider = opentelemetry.sdk.trace.TracerProvider
    monkeypatch.setattr(provider, "force_flush", lambda *given: waited.append(given))
    post()
    worker.deliver()
    assert waited == []
