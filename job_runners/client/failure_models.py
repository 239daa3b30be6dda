"""The values about error groups that the client returns."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from job_runners.client.from_json import FromJson
from job_runners.values import field


class Failure(FromJson, kw_only=True):
    """An error group: the failed jobs of one type with one kind of error in one function.

    `state` is `new` for a day, then `known`; `resolved`; or `regressed` if it failed again after it
    was resolved. `failures` is an approximate number. `frame` is the function as `module:function`,
    and `first_build` a hash of the build that saw the first failure; only operators see them.
    `sample_job_id` is a recent job.
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
