"""Trace jobs with OpenTelemetry, from the dispatch through all invocations and attempts.

Without TRACES, or without OpenTelemetry, rows and messages have no trace fields, and the functions
here do nothing.

A *trace* consists of *spans*, one for each operation. A *link* connects spans of different traces.
A `traceparent` is a text that names a span, as defined by W3C's Trace Context. Our messages and
rows have one:

- A message has the `traceparent` of the span in which it was sent, if that span is about the same
  job or task. The span of the invocation that the message starts is a child of that span. This
  connects the first invocation to the dispatch, and later invocations and attempts to earlier ones.
- A row has the `traceparent` of the span in which the job was dispatched. If a job waited for the
  timer, a pause or capacity, or is the child of another job, its next message has no `traceparent`.
  Its next invocation then begins a new trace, with a link to the dispatch. Otherwise a trace could
  cover days, or thousands of jobs, and would be unreadable.

The spans' attributes follow OpenTelemetry's semantic conventions for messaging, FaaS and HTTP. Our
own begin with `job_runners.`. No attribute contains a payload or a result.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

from job_runners.engine.telemetry import spans
from job_runners.settings import settings

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from job_runners.store.job_request import JobRequest

    class TracedMessage(Protocol):
        """What the span and the log lines need from a message."""

        @property
        def id(self) -> str: ...
        @property
        def request_id(self) -> str | None: ...
        @property
        def traceparent(self) -> str | None: ...
        @property
        def destination(self) -> str: ...
        @property
        def log_fields(self) -> dict[str, Any]: ...


class _TracedWork:
    """The job, task or request that a span is about.

    `id` is the id of the job or task. It is None for a request, and until a job is saved. With
    `is_child`, the span is about the dispatch of a job's child.
    """

    def __init__(self, span: "Span", work_id: str | None = None, *, is_child: bool = False) -> None:
        self.span = span
        self.id = work_id
        self.is_child = is_child
        self.outcome: str | None = None


_current_work: ContextVar[_TracedWork | None] = ContextVar("current_work", default=None)
# The attributes of the current invocation.
_invocation: ContextVar[dict[str, Any]] = ContextVar("invocation", default={})  # noqa: B039
_is_warm = False  # whether this process has handled an invocation


# --- the trace fields of rows, messages and log lines ---------------------------------------------


def current() -> str | None:
    """Return the `traceparent` of the current span."""
    if not settings().traces:  # this runs for every log line
        return None
    api = spans.trace_api()
    if api is None:
        return None
    return spans.format_traceparent(api.get_current_span().get_span_context())


def current_if_about(job_id: str) -> str | None:
    """Return the `traceparent` of the current span if that span is about this job, or None.

    A message about this job may also be sent in another job's span. This job must not become part
    of the other job's trace.
    """
    work = _current_work.get()
    if work is None or work.id != job_id:
        return None
    return spans.format_traceparent(work.span.get_span_context())


def log_fields() -> dict[str, str]:
    """Return the ids of the current trace and span, as fields of a log line."""
    traceparent = current()
    if traceparent is None:
        return {}
    _, trace_id, span_id, _ = traceparent.split("-")
    return {"trace_id": trace_id, "span_id": span_id}


# --- spans ----------------------------------------------------------------------------------------


def invoked(invocation_id: str) -> None:
    """Keep Lambda's id of the current invocation for the invocation's spans."""
    global _is_warm
    _invocation.set({"faas.invocation_id": invocation_id, "faas.coldstart": not _is_warm})
    _is_warm = True


@contextmanager
def request(headers: dict[str, str], *, verified: bool, trusted: bool = True) -> Iterator[None]:
    """Trace an HTTP request. If a trusted caller sends a `traceparent`, join that trace.

    If another caller sends one, begin a new trace with a link to that span, because this caller
    must not choose our trace id, or whether we record the trace. An unverified request isn't
    traced, because it can't start work, and strangers could fill a trace with such requests.
    """
    if not verified or not settings().traces:
        yield
        return
    traceparent = headers.get("traceparent")
    parent = traceparent if trusted else None
    linked_to = None if trusted else traceparent
    attributes = {"faas.trigger": "http", "url.scheme": "https"}
    with spans.start("request", "SERVER", attributes, parent=parent, linked_to=linked_to) as span:
        token = _current_work.set(_TracedWork(span) if span else None)
        try:
            yield
        finally:
            _current_work.reset(token)
    spans.flush()


def answered(method: str, route: str, status: int) -> None:
    """Name the span of the current request, and record its outcome."""
    work = _current_work.get()
    if work is None:
        return
    work.span.update_name(f"{method} {route}")
    work.span.set_attributes(
        {"http.request.method": method, "http.route": route, "http.response.status_code": status}
    )
    if status >= 500:
        spans.mark_failed(work.span, str(status))


@contextmanager
def dispatching(name: str, *, is_of_child: bool = False) -> Iterator[None]:
    """Trace saving and sending a job or task with this name.

    A job's child begins a new trace when it runs, with a link to this span.
    """
    if not settings().traces:
        yield
        return
    with spans.start(f"send {name}", "PRODUCER", _messaging_attributes("send", name)) as span:
        work = _TracedWork(span, is_child=is_of_child) if span else None
        token = _current_work.set(work)
        try:
            yield
        finally:
            _current_work.reset(token)


def accepted(row: "JobRequest") -> None:
    """Record which job the current span dispatches."""
    work = _current_work.get()
    if work is None:
        return
    work.span.set_attributes(_job_attributes(row))
    if not work.is_child:  # a child's first message must not continue this trace
        work.id = row.id


@contextmanager
def working(message: "TracedMessage", operation: str = "process") -> Iterator[None]:
    """Trace the work that a message starts, as a child of the span that the message names."""
    if not settings().traces:  # check this first, because this runs for every message
        yield
        return
    name = message.destination
    attributes = {
        **_messaging_attributes(operation, name),
        "messaging.message.id": message.id,
        "faas.trigger": "pubsub",
        **_invocation.get(),
    }
    with spans.start(
        f"{operation} {name}", "CONSUMER", attributes, parent=message.traceparent, new_trace=True
    ) as span:
        token = _current_work.set(_TracedWork(span, message.id) if span else None)
        try:
            yield
        finally:
            _current_work.reset(token)
    spans.flush()


def claimed(row: "JobRequest", wait: int) -> None:
    """Add the claimed job to the current span, and link the span to the job's dispatch."""
    work = _current_work.get()
    if work is None:
        return
    work.span.set_attributes(_job_attributes(row) | {"job_runners.queue_wait_ms": wait})
    spans.link(work.span, row.traceparent)


def ended(outcome: str, error: BaseException | None = None, *, job_id: str | None = None) -> None:
    """Record how the current work ended.

    Only the first call has an effect, because later calls are about other work. With `job_id`, do
    nothing if the current span is about another job.
    """
    work = _current_work.get()
    if work is None or work.outcome is not None or job_id not in (None, work.id):
        return
    work.outcome = outcome
    work.span.set_attribute("job_runners.outcome", outcome)
    if error is not None:
        work.span.record_exception(error)
        spans.mark_failed(work.span, type(error).__name__)


def settled(row: "JobRequest", error: Exception) -> None:
    """Record the outcome of a job whose worker could not record it.

    If a message is being handled, its span gets the outcome. In the timer, the outcome gets its own
    span, with a link to the job's dispatch.
    """
    work = _current_work.get()
    if work is not None:
        work.span.set_attributes(_job_attributes(row))
        spans.link(work.span, row.traceparent)
        ended(str(row.status), error)
        return
    attributes = _messaging_attributes("settle", row.job_type) | _job_attributes(row)
    attributes["job_runners.outcome"] = str(row.status)
    with spans.start(
        f"settle {row.job_type}", "CONSUMER", attributes, new_trace=True, linked_to=row.traceparent
    ) as span:
        if span is not None:
            span.record_exception(error)
            spans.mark_failed(span, type(error).__name__)
    spans.flush()


# --- helpers --------------------------------------------------------------------------------------


def _messaging_attributes(operation: str, name: str) -> dict[str, Any]:
    return {
        "messaging.system": spans.SYSTEM,
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": name,
    }


def _job_attributes(row: "JobRequest") -> dict[str, Any]:
    return {
        "messaging.message.id": row.id,
        "job_runners.organization_id": row.organization_id,
        "job_runners.queue_name": row.queue_name,
        "job_runners.attempt": row.attempt,
        "job_runners.invocation": row.invocations,
    }
