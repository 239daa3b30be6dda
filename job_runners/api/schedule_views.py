"""Show schedules to callers. A schedule dispatches a job at each of its times (occurrences)."""

from collections.abc import Mapping, Sequence
from typing import Any

from job_runners.api import access, views
from job_runners.api.access import visible_author
from job_runners.api.json_schema import (
    AUTHOR,
    ID,
    NUMBER,
    TEXT,
    TIME,
    Field,
    Fields,
    build_view,
    nullable,
    object_of,
    properties,
    ref,
    time_of,
)
from job_runners.engine.schedules.schedules import is_declared
from job_runners.store import queries
from job_runners.store.job_request import JobRequest
from job_runners.store.schedule import Schedule
from job_runners.work import occurrences
from job_runners.work.errors import InvalidOccurrences
from job_runners.work.occurrences import When


def schedule_view(schedule: Schedule) -> dict[str, Any]:
    """Return the view of a schedule with its payload."""
    (view,) = list_view([schedule])
    return view | build_view(WHOLE, schedule) | {"next": _next_occurrences(schedule)}


def list_view(schedules: Sequence[Schedule]) -> list[dict[str, Any]]:
    """Return the views of a list of schedules.

    The jobs of their last occurrences are fetched with one read. Payloads are left out because they
    may be large. Of the next occurrences, only the first is included, because it is stored. Each
    further one takes a search.
    """
    last_job_ids = [schedule.last_job_id for schedule in schedules if schedule.last_job_id]
    jobs = queries.read_many(last_job_ids)
    return [
        build_view(SCHEDULE, schedule) | {"last": _last_occurrence(schedule, jobs)}
        for schedule in schedules
    ]


def _in_words(schedule: Schedule) -> str:
    """Return the schedule's times in words, or its cron expression if this version of Job Runners
    can't read it."""
    try:
        return occurrences.in_words(When(*schedule.timing))
    except InvalidOccurrences:
        return f"{schedule.cron}, {schedule.timezone}"


def _next_occurrence(schedule: Schedule) -> list[str | None]:
    """Return a list with only the stored next occurrence, or an empty list."""
    if schedule.next_at is None:
        return []
    return [time_of(schedule.next_at)]


def _next_occurrences(schedule: Schedule) -> list[str | None]:
    """Return the stored next occurrence and a few after it, or an empty list."""
    first = schedule.next_at
    if first is None:
        return []
    try:
        more = occurrences.upcoming(When(*schedule.timing), first, occurrences.UPCOMING_COUNT - 1)
    except InvalidOccurrences:
        more = []
    return [time_of(time) for time in (first, *more)]


def _missed(schedule: Schedule) -> str | int:
    """Return how many missed occurrences may start late, as the API writes it."""
    words = {0: "skip", 1: "one"}
    return words.get(schedule.most_missed, schedule.most_missed)


def _last_occurrence(schedule: Schedule, jobs: Mapping[str, JobRequest]) -> dict[str, Any] | None:
    """Return the last occurrence that started a job. Its job is None if it was deleted."""
    if schedule.last_started_at is None:
        return None
    view = None
    job = jobs.get(schedule.last_job_id or "")
    if job is not None and job.organization_id == schedule.organization_id:
        view = views.summary_view(job)
    return {"at": time_of(schedule.last_started_at), "job_id": schedule.last_job_id, "job": view}


def _error(schedule: Schedule) -> dict[str, Any] | None:
    error = schedule.error
    if not error:
        return None
    return {"kind": str(error.get("kind")), "message": str(error.get("message"))}


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
        {"type": ["object", "null"]},
        lambda schedule: schedule.payload if access.current_caller.get().sees_payloads else None,
        "Null for viewers",
    ),
}

SCHEDULE: Fields[Schedule] = {
    "name": Field(TEXT),
    "organization_id": Field(TEXT),
    "origin": Field(
        {"type": "string", "enum": ["code", "api"]},
        about="`code`: declared in code. `api`: added over the API",
    ),
    "declared": Field(
        {"type": "boolean"},
        lambda schedule: is_declared(schedule.organization_id, schedule.name),
        "True if this version of the code declares a schedule with this name. If true and "
        "`origin` is `api`, this schedule overrides the declared one. If false and "
        "`origin` is `code`, another version declares it, and it is removed 15 minutes "
        "after that version is gone",
    ),
    "job_type": Field(TEXT),
    "cron": Field(nullable(TEXT)),
    "every": Field(nullable(NUMBER), about="Seconds"),
    "timezone": Field(TEXT),
    "words": Field(
        TEXT, _in_words, "Its times in words, such as `at 02:00 every day, Europe/Berlin`"
    ),
    "missed": Field(
        {"type": ["string", "integer"]},
        _missed,
        "Missed occurrences to start late: `skip`, `one`, or a number",
    ),
    "overlap": Field({"type": "string", "enum": ["skip", "queue", "allow"]}),
    "next": Field(
        {"type": "array", "items": TIME, "maxItems": occurrences.UPCOMING_COUNT},
        _next_occurrence,
        "Its next occurrences; only the first in a list of schedules. Empty while the "
        "schedule is paused",
    ),
    "waits": Field(
        {"type": "boolean"},
        lambda schedule: bool(schedule.waits),
        "True if the first occurrence in `next` is due and waits for the previous job to end",
    ),
    "last_skipped_at": Field(nullable(TIME), about="The last skipped occurrence"),
    "last_skipped_why": Field(nullable(TEXT)),
    "last_failed_at": Field(nullable(TIME), about="The last occurrence that failed to start"),
    "retrying": Field(
        {"type": "boolean"},
        about="True if the next occurrence is due, failed to start, and is retried",
    ),
    "error": Field(
        {**_ERROR, "type": ["object", "null"]},
        _error,
        "The error of the occurrence that is retried, or of the last one that failed to start",
    ),
    "started": Field(NUMBER, about="Number of occurrences that started"),
    "skipped": Field(NUMBER),
    "failed": Field(NUMBER),
    "paused_at": Field(nullable(TIME)),
    "paused_by": Field(AUTHOR, lambda schedule: visible_author(schedule.paused_by)),
    "created_at": Field(nullable(TIME)),
    "created_by": Field(AUTHOR, lambda schedule: visible_author(schedule.created_by)),
    "updated_at": Field(nullable(TIME)),
    "updated_by": Field(AUTHOR, lambda schedule: visible_author(schedule.updated_by)),
}

# The fields of a schedule in a list.
SUMMARY = properties(SCHEDULE) | {"last": nullable(_LAST, "The last occurrence that started")}
