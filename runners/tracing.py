"""Traces, by OpenTelemetry: from the request that dispatches a job through its legs and attempts.

Only OpenTelemetry's API is imported here, and only where TRACES asks for traces: its SDK, and what
sends spans on, come with a layer or with an organisation's own requirements. Without them, or
without TRACES, rows and messages carry nothing, and every function here does nothing.

Spans are joined by `traceparent`, as W3C's Trace Context has it:

- A message has that of the span in which it was sent, if that span is about the same work. What
  the message starts is its child: the first leg after a dispatch, the next leg, the next attempt.
- A row has that of the span in which the job was dispatched. A leg whose message has none, because
  the job waited for the timer, a pause or its line, or is a child of another job, begins a trace of
  its own that links there: a trace of days, or of thousands of jobs, could not be read.

Attributes are those of OpenTelemetry's semantic conventions for messaging, FaaS and HTTP, and
`job_runners.*`. They hold no payload and no result.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from importlib import import_module
from typing import TYPE_CHECKING, Any

from settings import settings

if TYPE_CHECKING:
    from opentelemetry.trace import Link, Span, SpanContext

    from runners.messages import Message
    from store.job_request import JobRequest

# Compiled when the first is checked, for most processes see none.
_FORM = r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
_SYSTEM = "job_runners"
_FLUSH_TIME = 2000  # milliseconds that an invocation may wait for its spans to leave


class _Work:
    """The span of what is done at hand, and the id of the job or task that it is about."""

    def __init__(
        self,
        span: "Span",
        work_id: str | None = None,
        *,
        is_dispatch: bool = False,
        is_of_child: bool = False,
        is_settling: bool = False,
    ) -> None:
        self.span = span
        self.id = work_id
        self.is_dispatch = is_dispatch
        self.is_of_child = is_of_child
        self.is_settling = is_settling
        self.outcome: str | None = None


_at_hand: ContextVar[_Work | None] = ContextVar("span_at_hand", default=None)
# Lambda's id of this invocation, and whether it is the first of its process.
_invocation: ContextVar[dict[str, Any]] = ContextVar("invocation", default={})  # noqa: B039 - unchanged
_has_begun = False


# --- what rows, messages and lines carry ----------------------------------------------------------


def valid(traceparent: object) -> str | None:
    """Return a `traceparent` if it has W3C's form, else None: whoever sent it is not told, as the
    recommendation has it."""
    if isinstance(traceparent, str) and re.fullmatch(_FORM, traceparent):
        return traceparent
    return None


def current() -> str | None:
    """Return the `traceparent` of the span at hand, for what is sent or saved in it."""
    api = _api()
    return _text(api.get_current_span().get_span_context()) if api else None


def of_message_about(job_id: str) -> str | None:
    """Return the `traceparent` of the span at hand if it is about this job; None in another's,
    which only happens to send the message."""
    work = _at_hand.get()
    return _text(work.span.get_span_context()) if work and work.id == job_id else None


def log_fields() -> dict[str, str]:
    """Return what a log line says of the trace that it is of."""
    traceparent = current()
    if traceparent is None:
        return {}
    _, trace_id, span_id, _ = traceparent.split("-")
    return {"trace_id": trace_id, "span_id": span_id}


# --- spans ----------------------------------------------------------------------------------------


def invoked(invocation_id: str) -> None:
    """Note Lambda's id of the invocation at hand, for its spans."""
    global _has_begun
    if settings().traces:
        _invocation.set({"faas.invocation_id": invocation_id, "faas.coldstart": not _has_begun})
        _has_begun = True


@contextmanager
def request(headers: dict[str, str], *, verified: bool) -> Iterator[None]:
    """Trace a request of HTTP, as a part of its caller's trace if it says which that is.

    One of a caller whom nobody has verified is not traced: it can start nothing, and strangers
    could fill a trace.
    """
    if not verified or not settings().traces:
        yield
        return
    parent = headers.get("traceparent")
    attributes = {"faas.trigger": "http", "url.scheme": "https"}
    with _span("request", "SERVER", attributes, parent=parent) as span:
        token = _at_hand.set(_Work(span) if span else None)
        try:
            yield
        finally:
            _at_hand.reset(token)
    _flush()


def answered(method: str, route: str, status: int) -> None:
    """Name the span of the request at hand, and say what came of it."""
    work = _at_hand.get()
    if work is None:
        return
    work.span.update_name(f"{method} {route}")
    work.span.set_attributes(
        {"http.request.method": method, "http.route": route, "http.response.status_code": status}
    )
    if status >= 500:
        _has_failed(work.span, str(status))


@contextmanager
def dispatching(name: str, *, is_of_child: bool = False) -> Iterator[None]:
    """Trace the saving and sending of a job or task of this name. The first leg of a job's child
    links here, and is in a trace of its own."""
    attributes = _messaging("send", name) | {"messaging.operation.type": "send"}
    with _span(f"send {name}", "PRODUCER", attributes) as span:
        work = _Work(span, is_dispatch=True, is_of_child=is_of_child) if span else None
        token = _at_hand.set(work)
        try:
            yield
        finally:
            _at_hand.reset(token)


def accepted(row: "JobRequest") -> None:
    """Say which job the span at hand dispatches."""
    work = _at_hand.get()
    if work is None or not work.is_dispatch:
        return
    work.span.set_attributes(_of_job(row))
    if not work.is_of_child:
        work.id = row.id


@contextmanager
def working(message: "Message", operation: str = "process") -> Iterator[None]:
    """Trace what a message starts: a child of the span that sent it, if it says which that is."""
    if not settings().traces:
        yield
        return
    name = _name(message)
    attributes = {
        **_messaging(operation, name),
        "messaging.operation.type": operation,
        "messaging.message.id": message.id,
        "faas.trigger": "pubsub",
        **_invocation.get(),
    }
    parent = getattr(message, "traceparent", None)
    with _span(f"{operation} {name}", "CONSUMER", attributes, parent=parent, apart=True) as span:
        is_settling = operation == "settle"
        work = _Work(span, message.id, is_settling=is_settling) if span else None
        token = _at_hand.set(work)
        try:
            yield
        finally:
            _at_hand.reset(token)
    _flush()


def claimed(row: "JobRequest", wait: int) -> None:
    """Say of which leg the span at hand is, and link it to the dispatch of its job."""
    work = _at_hand.get()
    if work is None:
        return
    work.span.set_attributes(_of_job(row) | {"job_runners.queue_wait_ms": wait})
    _link(work.span, row.traceparent)


def ended(outcome: str, error: BaseException | None = None, *, job_id: str | None = None) -> None:
    """Say how the work at hand ended; what is said after that is of other work. With a `job_id`,
    do nothing if the work at hand is another job's."""
    work = _at_hand.get()
    if work is None or work.outcome is not None or job_id not in (None, work.id):
        return
    work.outcome = outcome
    work.span.set_attribute("job_runners.outcome", outcome)
    if error is not None:
        work.span.record_exception(error)
        _has_failed(work.span, type(error).__name__)


def settled(row: "JobRequest", why: Exception) -> None:
    """Say what became of a job whose worker could not: in the span of its failure record, or in one
    of its own, that links to the job's dispatch."""
    work = _at_hand.get()
    if work is not None and work.is_settling and work.id == row.id:
        work.span.set_attributes(_of_job(row))
        _link(work.span, row.traceparent)
        ended(str(row.status), why)
        return
    attributes = _messaging("settle", row.job_type) | {"messaging.operation.type": "settle"}
    attributes |= _of_job(row) | {"job_runners.outcome": str(row.status)}
    with _span(
        f"settle {row.job_type}", "CONSUMER", attributes, apart=True, link=row.traceparent
    ) as span:
        if span is not None:
            span.record_exception(why)
            _has_failed(span, type(why).__name__)
    _flush()


# --- within ---------------------------------------------------------------------------------------


def _api() -> Any:
    """Return OpenTelemetry's API if traces are asked for and it is there, else None."""
    if not settings().traces:
        return None
    try:
        return import_module("opentelemetry.trace")
    except ImportError:
        return None


@contextmanager
def _span(
    name: str,
    kind: str,
    attributes: dict[str, Any],
    *,
    parent: str | None = None,
    apart: bool = False,
    link: str | None = None,
) -> Iterator["Span | None"]:
    """Yield a new span that is the current one inside; None without traces.

    It is a child of `parent`, else of the current span, or `apart`, the first of a trace of its
    own. The span in which it begins, of a layer's own making, is linked if it is not the parent.
    """
    api = _api()
    if api is None:
        yield None
        return
    around, sender = api.get_current_span().get_span_context(), _context(parent)
    links: list[Link] = []
    if around.is_valid and (sender.trace_id != around.trace_id if sender else apart):
        links.append(api.Link(around))
    if (origin := _context(link)) is not None:
        links.append(api.Link(origin))
    context = None  # the current one
    if sender is not None:
        context = api.set_span_in_context(api.NonRecordingSpan(sender))
    elif apart:
        context = api.set_span_in_context(api.INVALID_SPAN)
    with api.get_tracer(_SYSTEM).start_as_current_span(
        name,
        context=context,
        kind=getattr(api.SpanKind, kind),
        attributes=attributes,
        links=links,
    ) as span:
        yield span


def _name(message: "Message") -> str:
    """Return what a message has in place of a destination: what is to run; of a line, its queue."""
    named = message._asdict()
    name: str = named.get("job_type") or named.get("name") or named["queue_name"]
    return name


def _link(span: "Span", traceparent: str | None) -> None:
    """Link a span to the dispatch of its job, unless that is in its own trace."""
    origin = _context(traceparent)
    if origin is None or origin.trace_id == span.get_span_context().trace_id:
        return
    if hasattr(span, "add_link"):  # which OpenTelemetry has since 1.23, and a layer may lack
        span.add_link(origin)


def _messaging(operation: str, name: str) -> dict[str, Any]:
    return {
        "messaging.system": _SYSTEM,
        "messaging.operation.name": operation,
        "messaging.destination.name": name,
    }


def _of_job(row: "JobRequest") -> dict[str, Any]:
    return {
        "messaging.message.id": row.id,
        "job_runners.organization_id": row.organization_id,
        "job_runners.queue_name": row.queue_name,
        "job_runners.attempt": row.attempt,
        "job_runners.leg": row.legs,
    }


def _has_failed(span: "Span", error_type: str) -> None:
    api = _api()
    if api is not None:
        span.set_attribute("error.type", error_type)
        span.set_status(api.StatusCode.ERROR)


def _context(traceparent: str | None) -> "SpanContext | None":
    """Return what a `traceparent` says; None if it says nothing, or there is nobody to tell."""
    api = _api()
    if api is None or valid(traceparent) is None:
        return None
    _, trace_id, span_id, flags = str(traceparent).split("-")
    context: SpanContext = api.SpanContext(
        int(trace_id, 16), int(span_id, 16), True, api.TraceFlags(int(flags, 16))
    )
    return context


def _text(context: "SpanContext") -> str | None:
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags & 1:02x}"


def _flush() -> None:
    """Let the spans leave, before Lambda freezes the process. Without them the work is done all the
    same."""
    api = _api()
    if api is None or not settings().on_lambda:
        return
    flush = getattr(api.get_tracer_provider(), "force_flush", None)
    if flush is not None:
        with suppress(Exception):
            flush(_FLUSH_TIME)
