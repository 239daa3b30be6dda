"""The messages that the API and the timer send to the worker: their fields, and their JSON form.

To *redrive* a failed task is to send it again. A *line* consists of the jobs that wait for capacity
in one queue, under one concurrency key.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from job_runners.engine.telemetry import spans, tracing
from job_runners.errors import MalformedMessage, RetryAfter, UnknownMessageVersion
from job_runners.store.blobs import compact_json
from job_runners.store.job_request import JobRequest, new_id

# The version in every message. Raise it when older code would misunderstand a message, because code
# refuses a version that it doesn't know.
VERSION = 1


class JobMessage(NamedTuple):
    """A hint that a saved job can run. Everything else about the job is in its row."""

    id: str
    job_type: str
    # The id of this message. A worker that claims the job records it, so that the row shows which
    # message led to the claim.
    send_id: str
    # From the job's queue and key, the worker knows whether limits apply, without reading the row.
    queue_name: str
    concurrency_key: str | None = None
    request_id: str | None = None
    # The span in which the message is sent: see job_runners.engine.telemetry.tracing.
    traceparent: str | None = None

    @staticmethod
    def about(job: JobRequest) -> "JobMessage":
        """Return a new message about a job.

        Two messages about one job do no harm, because only one worker can claim the job.
        """
        return JobMessage(
            id=job.id,
            job_type=job.job_type,
            send_id=new_id(),
            queue_name=job.queue_name,
            concurrency_key=job.concurrency_key,
            request_id=job.request_id,
            traceparent=tracing.current_if_about(job.id),
        )

    @property
    def title(self) -> str:
        """How errors name the message."""
        return f"job {self.id} ({self.job_type})"

    @property
    def destination(self) -> str:
        """The destination of the message in traces."""
        return self.job_type

    @property
    def log_fields(self) -> dict[str, Any]:
        """The fields that identify the work in log lines."""
        return {"job_id": self.id, "job_type": self.job_type}


class TaskMessage(NamedTuple):
    """A task. The message contains all of the task's data, because no row stores it."""

    id: str
    name: str
    payload: Any
    attempt: int = 1
    request_id: str | None = None
    traceparent: str | None = None
    # These two are set only in a message that sends a failed task again.
    redrives: str | None = None  # the id of the failed task
    send_id: str | None = None  # the id of this message

    @property
    def title(self) -> str:
        """How errors name the task."""
        return f"task {self.id} ({self.name})"

    @property
    def destination(self) -> str:
        """The destination of the message in traces."""
        return self.name

    @property
    def log_fields(self) -> dict[str, Any]:
        """The fields that identify the work in log lines."""
        return {"task_id": self.id, "task_name": self.name, "attempt": self.attempt}

    def next_attempt(self, error: BaseException | None = None) -> "TaskMessage":
        """Return the message for the next attempt.

        If the attempt failed with RetryAfter, the error may contain a new payload.
        """
        payload = self.payload
        if isinstance(error, RetryAfter) and error.payload is not None:
            payload = error.payload
        return self._replace(attempt=self.attempt + 1, payload=payload, redrives=None, send_id=None)


class QueueMessage(NamedTuple):
    """A hint that the next job in the line of this queue and key may now be able to start."""

    queue_name: str
    concurrency_key: str
    request_id: str | None = None

    @property
    def id(self) -> str:
        """The queue and key as one string."""
        return f"{self.queue_name}#{self.concurrency_key}"

    @property
    def title(self) -> str:
        """How errors name the message."""
        return f"the wake-up of the queue {self.queue_name} (key {self.concurrency_key})"

    @property
    def destination(self) -> str:
        """The destination of the message in traces."""
        return self.queue_name

    @property
    def log_fields(self) -> dict[str, Any]:
        """The fields that identify the work in log lines."""
        return {"queue_name": self.queue_name, "concurrency_key": self.concurrency_key}

    @property
    def traceparent(self) -> None:
        """Always None, because this message belongs to no trace."""
        return None


Message = JobMessage | TaskMessage | QueueMessage
_KINDS = {JobMessage: "job", TaskMessage: "task", QueueMessage: "queue"}


def encode(message: Message) -> bytes:
    """Return the message as JSON. Fields without a value are left out."""
    kind = _KINDS[type(message)]
    fields = {name: value for name, value in message._asdict().items() if value is not None}
    return compact_json({"v": VERSION, "kind": kind, **fields})


def decode(event: object) -> Message:
    """Return the message in an event, which is JSON text or the value that Lambda parsed from it.

    Raises UnknownMessageVersion for a message from a newer deploy, and MalformedMessage for an
    event that isn't a message.
    """
    if isinstance(event, str | bytes):
        try:
            event = json.loads(event)
        except ValueError as error:
            raise MalformedMessage(f"the event is not JSON: {error}") from None
    if not isinstance(event, Mapping) or "v" not in event:
        raise MalformedMessage("the event is not a message: it has no version (v)")
    # `isinstance` would accept True, which equals 1.
    if type(event["v"]) is not int or event["v"] != VERSION:
        raise UnknownMessageVersion(event["v"])
    match event.get("kind"):
        case "job":
            return JobMessage(
                id=_text(event, "id"),
                job_type=_text(event, "job_type"),
                send_id=_text(event, "send_id"),
                queue_name=_text(event, "queue_name"),
                concurrency_key=event.get("concurrency_key"),
                request_id=event.get("request_id"),
                traceparent=_traceparent(event),
            )
        case "queue":
            return QueueMessage(
                queue_name=_text(event, "queue_name"),
                concurrency_key=_text(event, "concurrency_key"),
                request_id=event.get("request_id"),
            )
        case "task":
            return TaskMessage(
                id=_text(event, "id"),
                name=_text(event, "name"),
                payload=event.get("payload"),
                attempt=_positive_integer(event, "attempt"),
                request_id=event.get("request_id"),
                traceparent=_traceparent(event),
                **_redrive_fields(event),
            )
    raise MalformedMessage(
        f"the message's kind is {event.get('kind')!r}; expected job, task or queue"
    )


def _traceparent(event: Mapping[str, Any]) -> str | None:
    traceparent = event.get("traceparent")
    return None if traceparent is None else spans.valid_traceparent(traceparent)


def _redrive_fields(event: Mapping[str, Any]) -> dict[str, str]:
    if event.get("redrives") is None and event.get("send_id") is None:
        return {}
    return {"redrives": _text(event, "redrives"), "send_id": _text(event, "send_id")}


def _text(event: Mapping[str, Any], field: str) -> str:
    value = event.get(field)
    if not isinstance(value, str) or not value:
        raise MalformedMessage(f"the message's {field} is {value!r}; expected text")
    return value


def _positive_integer(event: Mapping[str, Any], field: str) -> int:
    value = event.get(field)
    if type(value) is not int or value < 1:
        raise MalformedMessage(f"the message's {field} is {value!r}; expected a number from 1")
    return value
