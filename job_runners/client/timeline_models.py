"""A job's timeline, as the client returns it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from job_runners.client.from_json import FromJson
from job_runners.values import field


class TimelineRecord(FromJson, kw_only=True):
    """Something that took time in a job.

    `kind` is `invocation`, `step`, `sleep`, `signal`, `group` or `child`. `name` is that of the
    step, wait, signal or group, or the key of the child. For a failed invocation, it is the step
    that raised the error, whose kind is `error`. Viewers get no names. `claim` is the number of the
    invocation, or of the one in which the record began. `run` counts the manual retries before an
    invocation, from 1. A worker could have begun the invocation at `ready_at`. `by` sent the
    signal. `id` is that of the child. `ended_at` and `outcome` are None until the record has ended.
    """

    kind: str
    began_at: datetime
    name: str | None = None
    claim: int | None = None
    attempt: int | None = None
    run: int | None = None
    ready_at: datetime | None = None
    until: datetime | None = None
    ended_at: datetime | None = None
    outcome: str | None = None
    error: str | None = None
    by: str | None = None
    id: str | None = None


class Act(FromJson):
    """What a caller did with a job: `dispatched`, `replaced`, `canceled` or `retried` it.

    `rerun_of` is the job that a dispatched one continues from a step.
    """

    at: datetime
    what: str
    by: str | None = None
    rerun_of: str | None = None


class Timeline(FromJson):
    """The timeline of a job: its `records` and the `acts` of callers, each in the order of time.

    `gaps` are the claims whose invocations aren't recorded. `complete` is False if the job has more
    records than one answer.
    """

    records: tuple[TimelineRecord, ...]
    acts: tuple[Act, ...]
    gaps: tuple[int, ...] = ()
    complete: bool = True
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
