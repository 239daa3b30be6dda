"""Show schedules to callers. Each dict of Fields defines a view's fields once, for both its values
and its JSON schema."""

from collections.abc import Sequence
from typing import Any

from job_runners.api import access, views
from job_runners.api.json_schema import (
    ID,
    NUMBER,
    TEXT,
    TIME,
    Field,
    Fields,
    nullable,
    object_of,
    properties,
    ref,
    time_of,
    values,
)
from job_runners.api.shown import AUTHOR, author
from job_runners.api.wait_views import described_or_null
from job_runners.engine.schedules.schedules import is_declared
from job_runners.store import queries
from job_runners.store.job_request import JobRequest
from job_runners.store.schedules import Schedule
from job_runners.work import occurrences
from job_runners.work.errors import InvalidOccurrences
from job_runners.work.occurrences import When


def schedule(found: Schedule) -> dict[str, Any]:
    """Return the view of a schedule with its payload."""
    return schedules([found])[0] | values(WHOLE, found) | {"next": _next_few(found)}


def schedules(found: Sequence[Schedule]) -> list[dict[str, Any]]:
    """Return the views of a list of schedules, with one read for the jobs of their last
    occurrences.

    Payloads are left out because they may be large. Only the next occurrence is included, because
    finding each further one takes a search.
    """
    jobs = queries.read_many([each.last_job_id for each in found if each.last_job_id])
    return [
        values(SCHEDULE, each) | {"last": _last(each, jobs.get(each.last_job_id or ""))}
        for each in found
    ]


def _in_words(found: Schedule) -> str:
    """Return the schedule's times in words, or its cron expression if this version can't read
    it."""
    try:
        return occurrences.in_words(When(*found.timing))
    except InvalidOccurrences:
        return f"{found.cron}, {found.timezone}"


def _next(found: Schedule) -> list[str | None]:
    """Return a list of one item, the stored next occurrence, or an empty list."""
    return [] if found.next_at is None else [time_of(found.next_at)]


def _next_few(found: Schedule) -> list[str | None]:
    """Return the next occurrences."""
    first = found.next_at
    if first is None:
        return []
    try:
        more = occurrences.upcoming(When(*found.timing), first, occurrences.UPCOMING_COUNT - 1)
    except InvalidOccurrences:
        more = []
    return [time_of(time) for time in (first, *more)]


def _missed(found: Schedule) -> str | int:
    return {0: "skip", 1: "one"}.get(found.most_missed, found.most_missed)


def _last(found: Schedule, job: JobRequest | None) -> dict[str, Any] | None:
    """Return the last occurrence. Its job is None if it was deleted."""
    if found.last_started_at is None:
        return None
    is_own = job is not None and job.organization_id == found.organization_id
    shown = views.summary(job) if job is not None and is_own else None
    return {"at": time_of(found.last_started_at), "job_id": found.last_job_id, "job": shown}


def _error(found: Schedule) -> dict[str, Any] | None:
    error = found.error
    return error and {name: str(error.get(name)) for name in ("kind", "message")}


_ERROR = object_of({"kind": TEXT, "message": TEXT})
_LAST = object_of(
    {
        "at": TIME,
        "job_id": ID,
        "job": {
            "anyOf": [ref("JobSummary"), {"type": "null"}],
            "description": "Null if the job was deleted",
        },
    }
)

# The fields of a schedule that a list of schedules leaves out.
WHOLE: Fields[Schedule] = {
    "payload": Field(
        {"type": ["object", "null"], "description": "Null for viewers"},
        lambda found: found.payload if access.current_caller.get().sees_payloads else None,
    ),
}

SCHEDULE: Fields[Schedule] = {
    "name": Field(TEXT),
    "organization_id": Field(TEXT),
    "origin": Field(
        {
            "type": "string",
            "enum": ["code", "api"],
            "description": "`code`: declared in code. `api`: added over the API",
        }
    ),
    "declared": Field(
        {
            "type": "boolean",
            "description": "True if this version of the code declares a schedule with this name. "
            "If true and `origin` is `api`, this schedule overrides the declared one. If false and "
            "`origin` is `code`, another version declares it, and it is removed 15 minutes after "
            "that version is gone",
        },
        lambda found: is_declared(found.organization_id, found.name),
    ),
    "job_type": Field(TEXT),
    "cron": Field(nullable(TEXT)),
    "every": Field({**nullable(NUMBER), "description": "Seconds"}),
    "timezone": Field(TEXT),
    "words": Field(
        {**TEXT, "description": "Its times in words, such as `at 02:00 every day, Europe/Berlin`"},
        _in_words,
    ),
    "missed": Field(
        {
            "type": ["string", "integer"],
            "description": "Missed occurrences to start late: `skip`, `one`, or a number",
        },
        _missed,
    ),
    "overlap": Field({"type": "string", "enum": ["skip", "queue", "allow"]}),
    "next": Field(
        {
            "type": "array",
            "items": TIME,
            "maxItems": occurrences.UPCOMING_COUNT,
            "description": "Its next occurrences; only the first in a list of schedules. Empty "
            "while the schedule is paused",
        },
        _next,
    ),
    "waits": Field(
        {
            "type": "boolean",
            "description": "True if the first occurrence in `next` is due and waits for the "
            "previous job to end",
        },
        lambda found: bool(found.waits),
    ),
    "last_skipped_at": Field({**nullable(TIME), "description": "The last skipped occurrence"}),
    "last_skipped_why": Field(nullable(TEXT)),
    "last_failed_at": Field(
        {**nullable(TIME), "description": "The last occurrence that failed to start"}
    ),
    "retrying": Field(
        {
            "type": "boolean",
            "description": "True if the next occurrence is due, failed to start, and is retried",
        }
    ),
    "error": Field(
        {
            **_ERROR,
            "type": ["object", "null"],
            "description": "The error of the occurrence that is retried, or of the last one that "
            "failed to start",
        },
        _error,
    ),
    "started": Field({**NUMBER, "description": "Number of occurrences that started"}),
    "skipped": Field(NUMBER),
    "failed": Field(NUMBER),
    "paused_at": Field(nullable(TIME)),
    "paused_by": Field(AUTHOR, lambda found: author(found.paused_by)),
    "created_at": Field(nullable(TIME)),
    "created_by": Field(AUTHOR, lambda found: author(found.created_by)),
    "updated_at": Field(nullable(TIME)),
    "updated_by": Field(AUTHOR, lambda found: author(found.updated_by)),
}

# The fields of a schedule in a list. The jobs of the last occurrences are read together.
SUMMARY = properties(SCHEDULE) | {
    "last": described_or_null(_LAST, "The last occurrence that started")
}
