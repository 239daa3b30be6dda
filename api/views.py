"""A job as callers see it. What is not listed here stays inside: tokens, leases, cursors."""

from collections.abc import Callable
from typing import Any

import clock
from api import access, responses
from api.file_urls import add_urls
from api.logs_url import logs_url
from errors import MissingObject
from store import blobs
from store.children import Child
from store.job_request import JobRequest
from store.pauses import Pause
from work import context

_LONGEST_WAIT = 60  # seconds
# Bytes for payload and result. Lambda's response holds at most 6 MB; the rest of a job is small.
_ROOM = 5_500_000


def summary(row: JobRequest) -> dict[str, Any]:
    """A job without what may be large or lie in the bucket: payload, result, traceback."""
    error = row.error and _without_code(row.error)
    return {
        "id": row.id,
        "job_type": row.job_type,
        "status": str(row.status),
        "cancel_requested": bool(row.cancel_requested),
        "progress": row.progress,
        "result_message": row.result_message,
        "error": error,
        "organization_id": row.organization_id,
        "campaign_id": row.campaign_id,
        "queue_name": row.queue_name,
        "attempt": row.attempt,
        "max_attempts": row.max_attempts,
        "legs": row.legs,
        "created_at": _time(row.created_at),
        "queued_at": _time(row.queued_at),
        "run_at": _time(row.run_at),
        "waiting_since": _time(row.waiting_since),
        "attempt_started_at": _time(row.attempt_started_at),
        "started_at": _time(row.started_at),
        "finished_at": _time(row.finished_at),
        "updated_at": _time(row.updated_at),
        "expires_at": _time(row.expires_at and row.expires_at * clock.SECOND),
        "request_id": row.request_id,
        "parent_id": row.parent_id,
        "created_by": _author(row.created_by),
        "requeued_by": _author(row.requeued_by),
        "cancelled_by": _author(row.cancelled_by),
    }


def whole(row: JobRequest) -> dict[str, Any]:
    """A job with everything: files in its result have a URL, minted now. What can't be shown is
    null, and `notes` says why."""
    caller = access.asking.get()
    shown = summary(row) | {
        "error": row.error and (row.error if caller.sees_code else _without_code(row.error)),
        "earlier_errors": [_earlier(each) for each in row.earlier_errors or []],
        "logs_url": logs_url(row) if caller.sees_code else None,
    }
    if not caller.sees_payloads:
        notes = ["payload and result are not shown to the role viewer"]
        return shown | {"payload": None, "result": None, "notes": notes}
    return shown | _contents(row)


def _contents(row: JobRequest) -> dict[str, Any]:
    """What the job was given and gave back, as far as a response can carry it."""
    notes: list[str] = []
    result, size = _shown(
        "result",
        lambda: add_urls(blobs.get(row.result, row.result_key), row.organization_id),
        _ROOM,
        notes,
    )
    payload, _ = _shown(
        "payload", lambda: blobs.get(row.payload, row.payload_key), _ROOM - size, notes
    )
    return {"payload": payload, "result": result, "notes": notes}


def child(dispatched: Child) -> dict[str, Any]:
    """Return a job that another one has dispatched; the job is null once it is gone."""
    row = dispatched.row
    return {"key": dispatched.key, "id": dispatched.id, "job": row and summary(row)}


def retry_after(row: JobRequest) -> dict[str, str]:
    """The header that tells when to ask again: after a tenth of the time waited so far, or when the
    job may start. None once it is finished."""
    if row.status.finished:
        return {}
    age = (clock.now() - row.created_at) // clock.SECOND
    starts_in = ((row.run_at or 0) - clock.now()) // clock.SECOND if row.status.timed else 0
    return {"Retry-After": str(max(1, min(_LONGEST_WAIT, max(age // 10, starts_in))))}


def brake(paused: Pause) -> dict[str, Any]:
    """A job type or a queue that is paused."""
    return {
        "kind": str(paused.kind),
        "name": paused.name,
        "paused_at": _time(paused.changed_at),
        "paused_by": _author(paused.changed_by),
    }


def _shown(name: str, read: Callable[[], Any], room: int, notes: list[str]) -> tuple[Any, int]:
    """What was kept and its size, if a response can carry it; else nothing, and a note."""
    try:
        value = read()
        size = responses.size(value)
    except MissingObject:
        notes.append(f"the {name} was kept in the bucket and is no longer there")
    except RecursionError:
        notes.append(f"the {name} is nested too deep to show")
    else:
        if size <= room:
            return value, size
        notes.append(f"the {name} is too large to show")
    return None, 0


def _without_code(error: dict[str, Any]) -> dict[str, Any]:
    """An error without its traceback."""
    return {name: error.get(name) for name in ("kind", "message")}


def _author(recorded: str | None) -> str | None:
    """Who did it. Which program or person of ours a service is, is not for its organisation."""
    author = context.Author.of_record(recorded)
    if author is None or access.asking.get().is_service:
        return recorded
    return author.role if author.role == "service" else recorded


def _earlier(error: dict[str, Any]) -> dict[str, Any]:
    """The error of an attempt that another one followed."""
    return {name: error.get(name) for name in ("attempt", "kind", "message")} | {
        "at": _time(error.get("at"))
    }


def _time(milliseconds: int | None) -> str | None:
    return None if milliseconds is None else clock.iso(milliseconds)
