"""The values about error groups that the client returns."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self

from job_runners.client.models import time_of
from job_runners.values import Value, field


class Failure(Value, kw_only=True):
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

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Self:
        """Return a failure from the API's JSON. Raises KeyError if a required field is missing."""
        fields: dict[str, Any] = {name: value[name] for name in _ALWAYS}
        fields |= {name: value.get(name) for name in _PLAIN}
        fields |= {name: time_of(value.get(name)) for name in _TIMES}
        return cls(**fields, raw=value)


_ALWAYS = ("id", "job_type", "error_kind", "state", "failures", "sample_job_id")
_PLAIN = ("frame", "first_build", "note", "resolved_by")
_TIMES = ("first_seen_at", "last_seen_at", "resolved_at", "regressed_at")
