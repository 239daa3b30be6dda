"""What the API tells of schedules, as values. A field that an older API lacks is None."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self

from job_runners.models import Job, JobError, time_of
from job_runners.values import Value, field


class Occurrence(Value):
    """An occurrence that was started: when it was due, and its job; None once that is gone."""

    at: datetime
    job_id: str
    job: Job | None


class Schedule(Value, kw_only=True):
    """What an organisation has done again and again, as it was when the API was asked.

    `words` say when: "at 02:00 every day, Europe/Berlin". `origin` is `code` if the code declares
    it, or `api`. `declared` tells whether the code of the API's own version declares one of this
    name. Beside `api`, that one is not in force; one of `code` that it does not declare is another
    version's, and goes a quarter of an hour after that version. `missed` is `skip`, `one`, or how
    many; `overlap` is `skip`, `queue` or `allow`. `next` are its next occurrences, in a list the
    first alone, and none while it is paused. `last` is the last one that was started;
    `last_skipped_at` and `last_failed_at` are when others were due. `error` says why the last one
    that failed, or with `retrying` the next one, could not be started. `payload` is there for one
    schedule, and None in a list and for those who may not see it.
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
    campaign_id: str | None = None
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
        """Whether nothing of it starts until it is resumed."""
        return self.paused_at is not None

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Self:
        """Return a schedule from the API's JSON. Raises KeyError if it is none."""
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
