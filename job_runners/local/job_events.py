"""Describe what happens to a job or task, from the log lines of the engine.

`job_runners/engine/telemetry/telemetry.py` has the messages of these lines.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from job_runners.cli.output import duration

Fields = Mapping[str, Any]


class Event(NamedTuple):
    """Something that happened to a job or task."""

    words: str
    color: str | None = None
    begins: bool = False  # whether an attempt or invocation begins
    failed: bool = False


def event_of(fields: Fields) -> Event | None:
    """Return the event that a log line reports, or None if the line isn't one of these.

    The event has no words if a reader needs no line about it. A message that work logs never counts
    as an event, because it lacks the field that the engine adds.
    """
    known = _EVENTS.get(fields["message"]) if isinstance(fields.get("message"), str) else None
    if known is None or "stream" in fields:
        return None
    marker, describe = known
    is_ours = marker(fields) if callable(marker) else marker in fields
    if not is_ours:
        return None
    return describe if isinstance(describe, Event) else describe(fields)


def _claimed(fields: Fields) -> Event:
    attempt, invocation = fields.get("attempt", 1), fields.get("invocation", 1)
    continues = f"continues, invocation {invocation}" if invocation != 1 else "started"
    return Event(f"started attempt {attempt}" if attempt != 1 else continues, begins=True)


def _waits(fields: Fields) -> Event:
    wait = fields["waits_for"] or {}
    if wait.get("kind") != "time":
        names = ", ".join(wait.get("names") or [str(wait.get("name"))])
        return Event(f"waits for {wait.get('kind')} {names}")
    until = datetime.fromtimestamp(wait["until"] / 1000).astimezone()
    return Event(f"sleeps until {until:%H:%M:%S} ({wait.get('name')})")


def _waits_for_resume(fields: Fields) -> Event:
    return Event(f"waits: {str(fields['paused']).replace('_', ' ')} is paused", "yellow")


def _failed(fields: Fields) -> Event:
    return Event(f"failed {_took(fields)}".rstrip(), "red", failed=True)


def _will_retry(fields: Fields) -> Event:
    when = "now" if fields["delay_s"] < 1 else f"in {duration(fields['delay_s'])}"
    return Event(f"failed, retries {when}", "yellow", failed=True)


def _settled(fields: Fields) -> Event:
    status = fields.get("status")
    words = "failed" if status == "failed" else f"lost its worker, and is {status}"
    return Event(f"{words}: {fields.get('why')}", "red", failed=True)


def _cancel(fields: Fields) -> Event:
    is_over = fields.get("status") == "canceled"
    return Event("canceled" if is_over else "was asked to stop", "yellow")


def _took(fields: Fields) -> str:
    milliseconds = fields.get("run_ms")
    if milliseconds is None:
        return ""
    if milliseconds < 1000:
        return f"{milliseconds} ms"
    seconds = milliseconds / 1000
    return f"{seconds:.1f} s" if seconds < 120 else duration(seconds)


def _written_by(function: str) -> Callable[[Fields], bool]:
    return lambda fields: str(fields.get("location", "")).startswith(f"{function}:")


_FAILED_AGAIN = Event("has failed as others did, although this was resolved", "red", failed=True)

# For each message: a field that only the engine's line has, or a check of the line; and the event,
# or a function that returns it. An event without words is not shown.
_EVENTS: dict[str, tuple[str | Callable[[Fields], bool], Event | Callable[[Fields], Event]]] = {
    "accepted": ("status", lambda it: Event("scheduled" * (it["status"] == "scheduled"))),
    "claimed": ("queue_wait_ms", _claimed),
    "invocation over": ("progress", Event("")),
    "admitted": ("slot", Event("")),
    "released": ("status", Event("")),
    "not claimed": ("why", Event("")),
    "race lost": ("why", Event("")),
    "answered with an existing job": ("status", Event("")),
    "failure record ignored": ("job_is", Event("")),
    "occurrence started": ("occurrence", Event("")),
    "deleted": ("status", Event("")),
    "waits": ("waits_for", _waits),
    "signal": ("signal", lambda it: Event(f"got signal {it['signal']}")),
    "waits for capacity": (
        "status",
        lambda it: Event(f"waits for capacity in queue {it['queue_name']}"),
    ),
    "waits for resume": ("paused", _waits_for_resume),
    "succeeded": ("run_ms", lambda it: Event(f"succeeded {_took(it)}", "green")),
    "failed": ("run_ms", _failed),
    "canceled": ("run_ms", lambda it: Event(f"canceled {_took(it)}", "yellow")),
    "attempt failed, will retry": ("delay_s", _will_retry),
    "new error group": ("error_group_id", Event("")),
    "resolved error group is back": ("error_group_id", _FAILED_AGAIN),
    "settled": ("status", _settled),
    "cancel": ("status", _cancel),
    "queued again": ("status", Event("queued again")),
    "task accepted": (_written_by("task_accepted"), Event("")),
    "task redriven": (_written_by("task_redriven"), Event("")),
    "task done": (_written_by("run_task"), Event("done", "green")),
    "task failed": (_written_by("give_up_task"), _failed),
}
