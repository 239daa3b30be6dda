"""Show schedules to callers. Each dict of Fields defines a view's fields once, for both its values
and its JSON schema."""

from collections.abc import Sequence
from typing import Any, NamedTuple

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
    ref,
    values,
)
from job_runners.api.shown import AUTHOR, author, time_of
from job_runners.engine.schedules.schedules import is_declared
from job_runners.store import queries
from job_runners.store.job_request import JobRequest
from job_runners.store.schedules import Schedule
from job_runners.work import occurrences
from job_runners.work.errors import InvalidOccurrences
from job_runners.work.occurrences import When


class ScheduleUse(NamedTuple):
    """A schedule, and the job of its last occurrence, or None if that job was deleted."""

    schedule: Schedule
    last_job: JobRequest | None

    @property
    def when(self) -> When:
        """Return the schedule's times."""
        return When(*self.schedule.timing)


def schedule(found: Schedule) -> dict[str, Any]:
    """Return the view of a schedule with its payload."""
    return schedules([found])[0] | values(WHOLE, found) | values(NEXT_FEW, _use(found, None))


def schedules(found: Sequence[Schedule]) -> list[dict[str, Any]]:
    """Return the views of a list of schedules, with one read for the jobs of their last
    occurrences.

    Payloads are left out because they may be large. Only the next occurrence is included, because
    finding each further one takes a search.
    """
    jobs = queries.read_many([each.last_job_id for each in found if each.last_job_id])
    return [values(SCHEDULE, _use(each, jobs.get(each.last_job_id or ""))) for each in found]


def _use(found: Schedule, job: JobRequest | None) -> ScheduleUse:
    is_own = job is not None and job.organization_id == found.organization_id
    return ScheduleUse(found, job if is_own else None)


def _in_words(use: ScheduleUse) -> str:
    """Return the schedule's times in words, or its cron expression if this version can't read
    it."""
    try:
        return occurrences.in_words(use.when)
    except InvalidOccurrences:
        return f"{use.schedule.cron}, {use.schedule.timezone}"


def _next(use: ScheduleUse) -> list[str | None]:
    """Return a list of one item, the stored next occurrence, or an empty list."""
    first = use.schedule.next_at
    return [] if first is None else [time_of(first)]


def _next_few(use: ScheduleUse) -> list[str | None]:
    """Return the next occurrences."""
    first = use.schedule.next_at
    if first is None:
        return []
    try:
        more = occurrences.upcoming(use.when, first, occurrences.UPCOMING_COUNT - 1)
    except InvalidOccurrences:
        more = []
    return [time_of(time) for time in (first, *more)]


def _missed(use: ScheduleUse) -> str | int:
    most = use.schedule.most_missed
    return {0: "skip", 1: "one"}.get(most, most)


def _last(use: ScheduleUse) -> dict[str, Any] | None:
    found = use.schedule
    if found.last_started_at is None:
        return None
    job = use.last_job and views.summary(use.last_job)
    return {"at": time_of(found.last_started_at), "job_id": found.last_job_id, "job": job}


def _error(use: ScheduleUse) -> dict[str, Any] | None:
    error = use.schedule.error
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

# The field `next` of a single schedule, which has more occurrences than that of a listed schedule.
NEXT_FEW: Fields[ScheduleUse] = {"next": Field({}, _next_few)}

SCHEDULE: Fields[ScheduleUse] = {
    "name": Field(TEXT, lambda use: use.schedule.name),
    "organization_id": Field(TEXT, lambda use: use.schedule.organization_id),
    "origin": Field(
        {
            "type": "string",
            "enum": ["code", "api"],
            "description": "`code`: declared in code. `api`: added over the API",
        },
        lambda use: use.schedule.origin,
    ),
    "declared": Field(
        {
            "type": "boolean",
            "description": "True if this version of the code declares a schedule with this name. "
            "If true and `origin` is `api`, this schedule overrides the declared one. If false and "
            "`origin` is `code`, another version declares it, and it is removed 15 minutes after "
            "that version is gone",
        },
        lambda use: is_declared(use.schedule.organization_id, use.schedule.name),
    ),
    "job_type": Field(TEXT, lambda use: use.schedule.job_type),
    "cron": Field(nullable(TEXT), lambda use: use.schedule.cron),
    "every": Field({**nullable(NUMBER), "description": "Seconds"}, lambda use: use.schedule.every),
    "timezone": Field(TEXT, lambda use: use.schedule.timezone),
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
    "overlap": Field(
        {"type": "string", "enum": ["skip", "queue", "allow"]}, lambda use: use.schedule.overlap
    ),
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
        lambda use: bool(use.schedule.waits),
    ),
    "last": Field(
        {
            **_LAST,
            "type": ["object", "null"],
            "description": "The last occurrence that started",
        },
        _last,
    ),
    "last_skipped_at": Field(
        {**nullable(TIME), "description": "The last skipped occurrence"},
        lambda use: time_of(use.schedule.last_skipped_at),
    ),
    "last_skipped_why": Field(nullable(TEXT), lambda use: use.schedule.last_skipped_why),
    "last_failed_at": Field(
        {**nullable(TIME), "description": "The last occurrence that failed to start"},
        lambda use: time_of(use.schedule.last_failed_at),
    ),
    "retrying": Field(
        {
            "type": "boolean",
            "description": "True if the next occurrence is due, failed to start, and is retried",
        },
        lambda use: use.schedule.retrying,
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
    "started": Field(
        {**NUMBER, "description": "Number of occurrences that started"},
        lambda use: use.schedule.started,
    ),
    "skipped": Field(NUMBER, lambda use: use.schedule.skipped),
    "failed": Field(NUMBER, lambda use: use.schedule.failed),
    "paused_at": Field(nullable(TIME), lambda use: time_of(use.schedule.paused_at)),
    "paused_by": Field(AUTHOR, lambda use: author(use.schedule.paused_by)),
    "created_at": Field(nullable(TIME), lambda use: time_of(use.schedule.created_at)),
    "created_by": Field(AUTHOR, lambda use: author(use.schedule.created_by)),
    "updated_at": Field(nullable(TIME), lambda use: time_of(use.schedule.updated_at)),
    "updated_by": Field(AUTHOR, lambda use: author(use.schedule.updated_by)),
}
