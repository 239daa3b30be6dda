"""The spans of a test, kept in memory as an exporter is given them."""

import secrets
from collections.abc import Sequence
from functools import cache

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator

from job_runners import settings


class Spans:
    """What was traced since this was made, in the order in which it ended."""

    def __init__(self) -> None:
        self._exporter = _exporter()
        self._exporter.clear()

    @property
    def all(self) -> Sequence[ReadableSpan]:
        """Every span."""
        return self._exporter.get_finished_spans()

    @property
    def names(self) -> list[str]:
        """The names of all."""
        return [span.name for span in self.all]

    def named(self, name: str) -> list[ReadableSpan]:
        """Return the spans of this name."""
        return [span for span in self.all if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        """Return the only span of this name."""
        (span,) = self.named(name)
        return span


def id_of(span: ReadableSpan) -> int:
    """Return a span's id."""
    return int(span.context.span_id)


def trace_of(span: ReadableSpan) -> int:
    """Return the id of a span's trace."""
    return int(span.context.trace_id)


def parent_of(span: ReadableSpan) -> int | None:
    """Return the id of a span's parent."""
    return span.parent.span_id if span.parent else None


def links_of(span: ReadableSpan) -> list[int]:
    """Return the ids of the spans that a span links to."""
    return [link.context.span_id for link in span.links]


class _SystemsIds(IdGenerator):
    """Ids of the operating system's: a test that seeds `random` would have the same ones again."""

    def generate_span_id(self) -> int:
        return secrets.randbits(64) | 1

    def generate_trace_id(self) -> int:
        return secrets.randbits(128) | 1


@cache
def _exporter() -> InMemorySpanExporter:
    """Return where the spans of this process go: OpenTelemetry is set up once in it."""
    exporter, provider = InMemorySpanExporter(), TracerProvider(id_generator=_SystemsIds())
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Spans:
    """Traces are asked for."""
    monkeypatch.setenv("TRACES", "true")
    settings.forget()
    return Spans()
