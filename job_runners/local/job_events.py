"""Describe what happens to a job or task in words, from the engine's log lines.

`job_runners/engine/telemetry/telemetry.py` has the messages of these lines.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from job_runners.cli.output import duration

Fields = Mapping[str, Any]


class Event(NamedTuple):
    """Something that happened to a job or task."""

    words: str  # empty for an event that isn't shown
    color: str | None = None
    begins: bool = False  # whether an attempt or invocation begins
    failed: bool = False


_HIDDEN = Event("")


def event_of(fields: Fields) -> Event | None:
    """Return the event that a log line reports, or None if the engine didn't write the line."""
    message = fields.get("message")
    if not isinstance(message, str) or message not in _EVENTS or "stream" in fields:
        return None
    marker, event = _EVENTS[message]
    is_from_engine = marker(fields) if callable(marker) else marker in fields
    if not is_from_engine:
        return None
    return event if isinstance(event, Event) else event(fields)


def _describe_acceptance(fields: Fields) -> Event:
    return Event("scheduled") if fields["status"] == "scheduled" else _HIDDEN


def _describe_claim(fields: Fields) -> Event:
    attempt, invocation = fields.get("attempt", 1), fields.get("invocation", 1)
    words = "started"
    if attempt != 1:
        words = f"started attempt {attempt}"
    elif invocation != 1:
        words = f"continues, invocation {invocation}"
    return Event(words, begins=True)


def _describe_wait(fields: Fields) -> Event:
    wait = fields["waits_for"] or {}
    if wait.get("kind") != "time":
        names = ", ".join(wait.get("names") or [str(wait.get("name"))])
        return Event(f"waits for {wait.get('kind')} {names}")
    until = datetime.fromtimestamp(wait["until"] / 1000).astimezone()
    return Event(f"sleeps until {until:%H:%M:%S} ({wait.get('name')})")


def _describe_pause(fields: Fields) -> Event:
    return Event(f"waits: {str(fields['paused']).replace('_', ' ')} is paused", "yellow")


def _describe_failure(fields: Fields) -> Event:
    return Event(f"failed {_run_time(fields)}".rstrip(), "red", failed=True)


def _describe_retry(fields: Fields) -> Event:
    when = "now" if fields["delay_s"] < 1 else f"in {duration(fields['delay_s'])}"
    return Event(f"failed, retries {when}", "yellow", failed=True)


def _describe_settlement(fields: Fields) -> Event:
    status = fields.get("status")
    words = "failed" if status == "failed" else f"lost its worker, and is {status}"
    return Event(f"{words}: {fields.get('why')}", "red", failed=True)


def _describe_cancel(fields: Fields) -> Event:
    has_ended = fields.get("status") == "canceled"
    return Event("canceled" if has_ended else "was asked to stop", "yellow")


def _run_time(fields: Fields) -> str:
    milliseconds = fields.get("run_ms")
    if milliseconds is None:
        return ""
    if milliseconds < 1000:
        return f"{milliseconds} ms"
    seconds = milliseconds / 1000
    return f"{seconds:.1f} s" if seconds < 120 else duration(seconds)


def _is_logged_by(function: str) -> Callable[[Fields], bool]:
    return lambda fields: str(fields.get("location", "")).startswith(f"{function}:")


_FAILED_AGAIN = Event("has failed as others did, although this was resolved", "red", failed=True)

# For each message: a field that only the engine's line has, or a check that the engine wrote it;
# and the event, or a function that returns the event. A job's own code can log the same messages.
_EVENTS: dict[str, tuple[str | Callable[[Fields], bool], Event | Callable[[Fields], Event]]] = {
    "accepted": ("status", _describe_acceptance),
    "claimed": ("queue_wait_ms", _describe_claim),
    "invocation over": ("progress", _HIDDEN),
    "admitted": ("slot", _HIDDEN),
    "released": ("status", _HIDDEN),
    "not claimed": ("why", _HIDDEN),
    "race lost": ("why", _HIDDEN),
    "answered with an existing job": ("status", _HIDDEN),
    "failure record ignored": ("job_is", _HIDDEN),
    "occurrence started": ("occurrence", _HIDDEN),
    "deleted": ("status", _HIDDEN),
    "waits": ("waits_for", _describe_wait),
    "signal": ("signal", lambda fields: Event(f"got signal {fields['signal']}")),
    "waits for capacity": (
        "status",
        lambda fields: Event(f"waits for capacity in queue {fields['queue_name']}"),
    ),
    "waits for resume": ("paused", _describe_pause),
    "succeeded": ("run_ms", lambda fields: Event(f"succeeded {_run_time(fields)}", "green")),
    "failed": ("run_ms", _describe_failure),
    "canceled": ("run_ms", lambda fields: Event(f"canceled {_run_time(fields)}", "yellow")),
    "attempt failed, will retry": ("delay_s", _describe_retry),
    "new error group": ("error_group_id", _HIDDEN),
    "resolved error group is back": ("error_group_id", _FAILED_AGAIN),
    "settled": ("status", _describe_settlement),
    "cancel": ("status", _describe_cancel),
    "queued again": ("status", Event("queued again")),
    "task accepted": (_is_logged_by("task_accepted"), _HIDDEN),
    "task redriven": (_is_logged_by("task_redriven"), _HIDDEN),
    "task done": (_is_logged_by("run_task"), Event("done", "green")),
    "task failed": (_is_logged_by("give_up_task"), _describe_failure),
}
