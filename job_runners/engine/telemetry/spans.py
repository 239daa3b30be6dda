"""Start, link and flush OpenTelemetry spans.

This is the only module that imports OpenTelemetry, and it does so only if TRACES is set. It needs
only the API. The SDK and its exporters come with a Lambda layer or with the app's requirements.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

from job_runners.settings import settings

if TYPE_CHECKING:
    from opentelemetry.trace import Link, Span, SpanContext

SYSTEM = "job_runners"  # the name of the tracer, and the value of `messaging.system`
# Version, trace id, span id and flags. Not compiled here, because most processes don't need it.
_TRACEPARENT = r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
_FLUSH_TIMEOUT_MS = 2000  # how long an invocation waits for its spans to be sent


def valid_traceparent(traceparent: object) -> str | None:
    """Return the `traceparent`, or None if it is invalid: W3C's Trace Context says to ignore it."""
    if isinstance(traceparent, str) and re.fullmatch(_TRACEPARENT, traceparent):
        return traceparent
    return None


def trace_api() -> Any:
    """Return OpenTelemetry's API if traces are on and it is installed, or None."""
    if not settings().traces:
        return None
    try:
        return import_module("opentelemetry.trace")
    except ImportError:
        return None


@contextmanager
def start(
    name: str,
    kind: str,
    attributes: dict[str, Any],
    *,
    parent: str | None = None,
    new_trace: bool = False,
    linked_to: str | None = None,
) -> Iterator["Span | None"]:
    """Yield a new span, which is the current span inside the block. Without traces, yield None.

    The new span is a child of the span that `parent` names. Without `parent`, it is a child of the
    current span or, with `new_trace`, the first span of a new trace. There may be a current span in
    another trace, for example from a Lambda layer. The new span then gets a link to it. `linked_to`
    names one more span to link to.
    """
    api = trace_api()
    if api is None:
        yield None
        return
    current = api.get_current_span().get_span_context()
    parent_context = parse_traceparent(parent)
    context = None  # with None, OpenTelemetry takes the current span as the parent
    leaves_trace = False
    if parent_context is not None:
        context = api.set_span_in_context(api.NonRecordingSpan(parent_context))
        leaves_trace = parent_context.trace_id != current.trace_id
    elif new_trace:
        context = api.set_span_in_context(api.INVALID_SPAN)
        leaves_trace = True
    links: list[Link] = []
    if current.is_valid and leaves_trace:
        links.append(api.Link(current))
    linked_context = parse_traceparent(linked_to)
    if linked_context is not None:
        links.append(api.Link(linked_context))
    with api.get_tracer(SYSTEM).start_as_current_span(
        name,
        context=context,
        kind=getattr(api.SpanKind, kind),
        attributes=attributes,
        links=links,
    ) as span:
        yield span


def link(span: "Span", traceparent: str | None) -> None:
    """Link a span to the span that `traceparent` names, unless both are in the same trace."""
    linked_context = parse_traceparent(traceparent)
    if linked_context is None or linked_context.trace_id == span.get_span_context().trace_id:
        return
    if hasattr(span, "add_link"):  # since OpenTelemetry 1.23, which a layer may lack
        span.add_link(linked_context)


def mark_failed(span: "Span", error_type: str) -> None:
    """Mark a span as failed, with the kind of error."""
    span.set_attribute("error.type", error_type)
    span.set_status(trace_api().StatusCode.ERROR)


def parse_traceparent(traceparent: str | None) -> "SpanContext | None":
    """Return the context of the span that `traceparent` names, or None if it is invalid."""
    if valid_traceparent(traceparent) is None:
        return None
    api = trace_api()
    _, trace_id, span_id, flags = str(traceparent).split("-")
    context: SpanContext = api.SpanContext(
        int(trace_id, 16),
        int(span_id, 16),
        is_remote=True,
        trace_flags=api.TraceFlags(int(flags, 16)),
    )
    return context


def format_traceparent(context: "SpanContext") -> str | None:
    """Return the `traceparent` that names a span, or None if the span isn't traced."""
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def flush() -> None:
    """Send the spans before Lambda freezes the process. Ignore errors."""
    api = trace_api()
    if api is None or not settings().on_lambda:
        return
    with suppress(Exception):  # without the SDK, the provider has no `force_flush`
        api.get_tracer_provider().force_flush(_FLUSH_TIMEOUT_MS)
