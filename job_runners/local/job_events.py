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
    return describe(fields) if is_ours else None


def _nothing(_: Fields) -> Event:
    return Event("")


def _accepted(fields: Fields) -> Event:
    return Event("scheduled" if fields.get("status") == "scheduled" else "")


def _claimed(fields: Fields) -> Event:
    attempt, invocation = fields.get("attempt", 1), fields.get("invocation", 1)
    if attempt != 1:
        return Event(f"started attempt {attempt}", begins=True)
    return Event(
        "started" if invocation == 1 else f"continues, invocation {invocation}", begins=True
    )


def _waits(fields: Fields) -> Event:
    wait = fields["waits_for"] or {}
    if wait.get("kind") != "time":
        names = ", ".join(wait.get("names") or [str(wait.get("name"))])
        return Event(f"waits for {wait.get('kind')} {names}")
    until = datetime.fromtimestamp(wait["until"] / 1000).astimezone()
    return Event(f"sleeps until {until:%H:%M:%S} ({wait.get('name')})")


def _signal(fields: Fields) -> Event:
    return Event(f"got signal {fields['signal']}")


def _waits_in_line(fields: Fields) -> Event:
    return Event(f"waits for capacity in queue {fields['queue_name']}")


def _waits_for_resume(fields: Fields) -> Event:
    return Event(f"waits: {str(fields['paused']).replace('_', ' ')} is paused", "yellow")


def _succeeded(fields: Fields) -> Event:
    return Event(f"succeeded {_took(fields)}", "green")


def _failed(fields: Fields) -> Event:
    return Event(f"failed {_took(fields)}".rstrip(), "red", failed=True)


def _failed_again(_: Fields) -> Event:
    return Event("has failed as others did, although this was resolved", "red", failed=True)


def _canceled(fields: Fields) -> Event:
    return Event(f"canceled {_took(fields)}", "yellow")


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


def _queued_again(_: Fields) -> Event:
    return Event("queued again")


def _task_done(_: Fields) -> Event:
    return Event("done", "green")


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


# For each message: a field that only the engine's line has, or a check of the line; and the event.
_EVENTS: dict[str, tuple[str | Callable[[Fields], bool], Callable[[Fields], Event]]] = {
    "accepted": ("status", _accepted),
    "claimed": ("queue_wait_ms", _claimed),
    "invocation over": ("progress", _nothing),
    "admitted": ("slot", _nothing),
    "released": ("status", _nothing),
    "not claimed": ("why", _nothing),
    "race lost": ("why", _nothing),
    "answered with an existing job": ("status", _nothing),
    "failure record ignored": ("job_is", _nothing),
    "occurrence started": ("occurrence", _nothing),
    "deleted": ("status", _nothing),
    "waits": ("waits_for", _waits),
    "signal": ("signal", _signal),
    "waits for capacity": ("status", _waits_in_line),
    "waits for resume": ("paused", _waits_for_resume),
    "succeeded": ("run_ms", _succeeded),
    "failed": ("run_ms", _failed),
    "canceled": ("run_ms", _canceled),
    "attempt failed, will retry": ("delay_s", _will_retry),
    "new failure": ("failure_id", _nothing),
    "resolved failure is back": ("failure_id", _failed_again),
    "settled": ("status", _settled),
    "cancel": ("status", _cancel),
    "queued again": ("status", _queued_again),
    "task accepted": (_written_by("task_accepted"), _nothing),
    "task redriven": (_written_by("task_redriven"), _nothing),
    "task done": (_written_by("run_task"), _task_done),
    "task failed": (_written_by("give_up_task"), _failed),
}
