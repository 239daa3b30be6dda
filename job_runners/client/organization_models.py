"""The models of an organization's schedules, webhooks and error groups that the client returns."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from job_runners.client.from_json import FromJson
from job_runners.client.models import Job, JobError


class Occurrence(FromJson):
    """An occurrence that has started, with its due time and its job. `job` is None if it was
    deleted."""

    at: datetime
    job_id: str
    job: Job | None = None


class Schedule(FromJson, kw_only=True):
    """A schedule at the time of the API's response.

    - `words` describes its times, such as "at 02:00 every day, Europe/Berlin".
    - `missed` is `skip`, `one` or a number. `overlap` is `skip`, `queue` or `allow`.
    - `payload` is None in a list, and for callers who may not see it.
    - `origin` is `code` or `api`.
    - `declared` is True if the deployed code declares a schedule with this name. If the origin is
    `api`, the declared schedule is then inactive. A schedule with the origin `code` that isn't
    declared belongs to another version, and is removed 15 minutes after that version is gone.
    - `next` are the next occurrences: in a list, only the first one; while paused, none.
    - `last` is the last occurrence that has started.
    - `last_skipped_at` and `last_failed_at` are the due times of the last occurrences that were
    skipped, or could not be started.
    - `retrying` is True if the next occurrence is due, but could not be started so far. `error` is
    then the reason. Otherwise, `error` is the reason for the last occurrence that failed to start.
    - `waits` is True if the next occurrence is due, and waits for the previous job to end.
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

    @property
    def paused(self) -> bool:
        """Whether the schedule is paused."""
        return self.paused_at is not None


class Webhook(FromJson, kw_only=True):
    """A webhook that an organization has subscribed. It receives an event when a job has ended.

    `secret` is the name of the secret that signs the events. With `statuses` or `job_types`, it
    only receives events about jobs that ended with one of these statuses, or have one of these
    types.
    """

    name: str
    url: str
    secret: str
    statuses: tuple[str, ...] | None = None
    job_types: tuple[str, ...] | None = None
    updated_at: datetime | None = None
    updated_by: str | None = None


class ErrorGroup(FromJson, kw_only=True):
    """An error group: the failed jobs of one type with one kind of error in one function.

    - `state` is `new` for a day and then `known`, until it is marked as `resolved`. It is
    `regressed` if a job has failed since.
    - `failures` is the approximate number of failures.
    - `frame` is the function, as `module:function`. Only operators see it.
    - `first_build` is a hash of the build with which the first job failed. Only operators see it.
    - `sample_job_id` is the id of a recent job.
    """

    id: str
    job_type: str
    error_kind: str
    state: str
    failures: int
    sample_job_id: str
    frame: str | None = None
    first_build: str | None = None
    note: str | None = None
    resolved_by: str | None = None
    first_seen_at: datetime | None = None
    last_seen_at: datetime | None = None
    resolved_at: datetime | None = None
    regressed_at: datetime | None = None
