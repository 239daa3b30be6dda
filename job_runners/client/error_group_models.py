"""The model of an error group that the client returns."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from job_runners.client.from_json import FromJson
from job_runners.values import field


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
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
