"""Schedules as callers see them. The table says each field once, for its value and its schema."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from api import access, views
from api.json_schema import ID, NUMBER, TEXT, TIME, Field, Fields, nullable, object_of, ref, values
from api.shown import AUTHOR, author, time_of
from runners.schedules import is_declared
from store import queries
from store.job_request import JobRequest
from store.schedules import Schedule
from work import occurrences
from work.errors import InvalidOccurrences
from work.occurrences import When


class ScheduleUse(NamedTuple):
    """A schedule, and the job of its last occurrence, unless that is gone."""

    schedule: Schedule
    last_job: JobRequest | None

    @property
    def when(self) -> When:
        """Its times."""
        return When(*self.schedule.timing)


def schedule(found: Schedule) -> dict[str, Any]:
    """Return a schedule, with what its jobs are given."""
    return schedules([found])[0] | values(WHOLE, found) | values(COMING, _use(found, None))


def schedules(found: Sequence[Schedule]) -> list[dict[str, Any]]:
    """Return schedules without what their jobs are given, which may be large, and without the
    occurrences after the next, which take a search each. One more read has the jobs of their last
    occurrences."""
    jobs = queries.read_many([each.last_job_id for each in found if each.last_job_id])
    return [values(SCHEDULE, _use(each, jobs.get(each.last_job_id or ""))) for each in found]


def _use(found: Schedule, job: JobRequest | None) -> ScheduleUse:
    is_theirs = job is not None and job.organization_id == found.organization_id
    return ScheduleUse(found, job if is_theirs else None)


def _words(use: ScheduleUse) -> str:
    """Return when it comes; as it is written, if this version can't read it."""
    try:
        return occurrences.in_words(use.when)
    except InvalidOccurrences:
        return f"{use.schedule.cron}, {use.schedule.timezone}"


def _next(use: ScheduleUse) -> list[str | None]:
    """Return the next occurrence, as it is stored."""
    first = use.schedule.next_at
    return [] if first is None else [time_of(first)]


def _coming(use: ScheduleUse) -> list[str | None]:
    """Return the next occurrence and those after it."""
    first = use.schedule.next_at
    if first is None:
        return []
    try:
        more = occurrences.upcoming(use.when, first, occurrences.SHOWN - 1)
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
            "description": "Null once it is gone",
        },
    }
)

# The fields of a whole schedule that it does not have in a list.
WHOLE: Fields[Schedule] = {
    "payload": Field(
        {"type": ["object", "null"], "description": "Null for those who may not see it"},
        lambda found: found.payload if access.asking.get().sees_payloads else None,
    ),
}

# In the schedule's own answer instead of what a list has.
COMING: Fields[ScheduleUse] = {"next": Field({}, _coming)}

SCHEDULE: Fields[ScheduleUse] = {
    "name": Field(TEXT, lambda use: use.schedule.name),
    "organization_id": Field(TEXT, lambda use: use.schedule.organization_id),
    "origin": Field(
        {
            "type": "string",
            "enum": ["code", "api"],
            "description": "Who has it: the code declares it, or it was put here",
        },
        lambda use: use.schedule.origin,
    ),
    "declared": Field(
        {
            "type": "boolean",
            "description": "Whether the code of this version declares a schedule of this name. If "
            "it does and `origin` is `api`, the declared one is not in force. If it does not and "
            "`origin` is `code`, another version declares it: the schedule is removed a quarter of "
            "an hour after that version has gone",
        },
        lambda use: is_declared(use.schedule.organization_id, use.schedule.name),
    ),
    "job_type": Field(TEXT, lambda use: use.schedule.job_type),
    "campaign_id": Field(nullable(TEXT), lambda use: use.schedule.campaign_id),
    "cron": Field(nullable(TEXT), lambda use: use.schedule.cron),
    "every": Field(
        {**nullable(NUMBER), "description": "In seconds"}, lambda use: use.schedule.every
    ),
    "timezone": Field(TEXT, lambda use: use.schedule.timezone),
    "words": Field(
        {**TEXT, "description": "When it comes, as `at 02:00 every day, Europe/Berlin`"}, _words
    ),
    "missed": Field(
        {
            "type": ["string", "integer"],
            "description": "How many missed occurrences are made up for: `skip`, `one`, or so many",
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
            "maxItems": occurrences.SHOWN,
            "description": "Its next occurrences, in a list of schedules the first alone; none "
            "while it is paused",
        },
        _next,
    ),
    "waits": Field(
        {
            "type": "boolean",
            "description": "The first of those has come, and waits for the job of the one before",
        },
        lambda use: bool(use.schedule.waits),
    ),
    "last": Field(
        {
            **_LAST,
            "type": ["object", "null"],
            "description": "The last occurrence that was started",
        },
        _last,
    ),
    "last_skipped_at": Field(
        {**nullable(TIME), "description": "The last occurrence that was left out"},
        lambda use: time_of(use.schedule.last_skipped_at),
    ),
    "last_skipped_why": Field(nullable(TEXT), lambda use: use.schedule.last_skipped_why),
    "last_failed_at": Field(
        {**nullable(TIME), "description": "The last occurrence that could not be started"},
        lambda use: time_of(use.schedule.last_failed_at),
    ),
    "retrying": Field(
        {
            "type": "boolean",
            "description": "The next occurrence has come, and could not be started so far",
        },
        lambda use: use.schedule.retrying,
    ),
    "error": Field(
        {
            **_ERROR,
            "type": ["object", "null"],
            "description": "Why the last one that failed, or the one that is tried again, "
            "could not be started",
        },
        _error,
    ),
    "started": Field(
        {**NUMBER, "description": "How many occurrences"}, lambda use: use.schedule.started
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
