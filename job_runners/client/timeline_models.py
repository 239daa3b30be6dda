"""The models of a job's timeline that the client returns."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from job_runners.client.from_json import FromJson
from job_runners.values import field


class TimelineRecord(FromJson, kw_only=True):
    """An invocation, step, wait or child of a job, with its times.

    - `kind` is `invocation`, `step`, `sleep`, `signal`, `group` or `child`.
    - `name` is the name of the step, wait, signal or group, or the key of the child. For a failed
    invocation, it is the step that raised the error. Callers with the role viewer get no names.
    - `claim` is the number of the invocation, or of the invocation in which the record began. A
    worker starts each invocation with a claim.
    - `run` is 1 until the job is retried manually, and one higher after each such retry.
    - `ready_at` is when a worker could have begun the invocation.
    - `error` is the class name of the error of a failed invocation.
    - `by` is the caller that sent the signal.
    - `id` is the child's id.
    - `ended_at` and `outcome` are None until the record has ended.
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
    """An act of a caller: `what` is `dispatched`, `replaced`, `canceled` or `retried`.

    `rerun_of` is the id of the finished job from whose step a dispatched job continues.
    """

    at: datetime
    what: str
    by: str | None = None
    rerun_of: str | None = None


class Timeline(FromJson):
    """The timeline of a job: its `records` and the `acts` of callers, in chronological order.

    `gaps` are the numbers of claims whose invocations weren't recorded. `complete` is False if the
    job has more records than a response can have.
    """

    records: tuple[TimelineRecord, ...]
    acts: tuple[Act, ...]
    gaps: tuple[int, ...] = ()
    complete: bool = True
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
