"""Traced work: the API is asked for it, the worker is sent it, and a test moves the clock."""

from typing import Any

import pytest

from api_events import call
from fake_lambda import FakeLambda
from job_runners import clock
from job_runners.engine.running import execution
from job_runners.engine.wire.messages import Message, decode, encode
from job_runners.store import job_request, queries
from job_runners.store.job_request import JobRequest
from job_runners.testing.movable_clock import MovableClock
from spans import Spans

ORDER = ("POST /jobs", "send sample_again", "process sample_again")
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


def outcome(span: Any) -> Any:
    return span.attributes["job_runners.outcome"]
