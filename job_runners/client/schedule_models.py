"""The values about schedules that the client returns. A field that an older API lacks is None."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self

from job_runners.client.models import Job, JobError, time_of
from job_runners.values import Value, field


class Occurrence(Value):
    """A started occurrence: its due time and its job. `job` is None if it was deleted."""

    at: datetime
    job_id: str
    job: Job | None


class Schedule(Value, kw_only=True):
    """A schedule at the time of the API's answer.

    `words` describes its times, such as "at 02:00 every day, Europe/Berlin". `missed` is `skip`,
    `one` or a number. `overlap` is `skip`, `queue` or `allow`. `payload` is None in a list, and for
    callers who may not see it.

    `origin` is `code` or `api`. `declared` is True if the code of the API's version declares a
    schedule of this name. If it does and the origin is `api`, the declared schedule is inactive. A
    schedule of origin `code` that isn't declared belongs to another version, and is removed 15
    minutes after that version is gone.

    `next` has the next occurrences: in a list, only the first one; while paused, none. `last` is
    the last started occurrence. `last_skipped_at` and `last_failed_at` are the due times of the
    last occurrence that was skipped and of the last that could not be started.

    If `retrying` is True, the next occurrence is due, failed to start, and is retried. `error` is
    then the error of that occurrence. Otherwise it is the error of the last occurrence that failed
    to start. If `waits` is True, the next occurrence is due and waits for the previous job to end.
    """

    name: str
    organization_id: str
    origin: str
    job_type: str
    words: str
    declared: bool | None = None
    cron: str | None = None
    every: int | None = None
    timezone: str = "UTC"
    payload: Mapping[str, Any] | None = None
    missed: str | int = "one"
    overlap: str = "skip"
    next: tuple[datetime, ...] = ()
    waits: bool = False
    last: Occurrence | None = None
    last_skipped_at: datetime | None = None
    last_skipped_why: str | None = None
    last_failed_at: datetime | None = None
    retrying: bool = False
    error: JobError | None = None
    started: int = 0
    skipped: int = 0
    failed: int = 0
    paused_at: datetime | None = None
    paused_by: str | None = None
    created_at: datetime | None = None
    created_by: str | None = None
    updated_at: datetime | None = None
    updated_by: str | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def paused(self) -> bool:
        """Whether the schedule is paused."""
        return self.paused_at is not None

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Self:
        """Return a schedule from the API's JSON. Raises KeyError if a required field is missing."""
        last, error = value.get("last"), value.get("error")
        fields: dict[str, Any] = {name: time_of(value.get(name)) for name in _TIMES}
        fields |= {name: value[name] for name in _PLAIN if value.get(name) is not None}
        return cls(
            **fields,
            next=tuple(map(datetime.fromisoformat, value.get("next") or ())),
            last=_occurrence(last) if last else None,
            error=JobError(error.get("kind"), error.get("message")) if error else None,
            raw=value,
            **{name: value[name] for name in _ALWAYS},
        )


def _occurrence(value: Mapping[str, Any]) -> Occurrence:
    job = value.get("job")
    at = datetime.fromisoformat(value["at"])
    return Occurrence(at, value["job_id"], Job.of(job) if job else None)


_ALWAYS = ("name", "organization_id", "origin", "job_type", "words")
_TIMES = (*("last_skipped_at", "last_failed_at", "paused_at", "created_at", "updated_at"),)
_PLAIN = tuple(
    each
    for each in Schedule.__own_fields__
    if each not in (*_ALWAYS, *_TIMES, "next", "last", "error", "raw")
)
