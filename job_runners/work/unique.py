"""Declare that a job is unique: no two jobs of its type do the same work at the same time.

JOBS = {"sync_list": Job(sync_list, unique=Unique(by=("list_id",)))}
"""

import json
from hashlib import sha256
from typing import TYPE_CHECKING, Literal

from job_runners.errors import InvalidDefinition
from job_runners.values import Value
from job_runners.work.payload_values import canonical

if TYPE_CHECKING:
    from pydantic import BaseModel

_ALWAYS_COMPARED = ("organization_id", "job_type")  # so `by` need not name them


class Unique(Value, kw_only=True):
    """The rule that decides which jobs do the same work, and what happens to a second one.

    Two jobs do the same work if they have the same organization and type, and the same values in
    all fields of the payload that `by` names. With `by=()`, all jobs of this type in one
    organization do the same work. Values are compared after the payload's model has parsed them and
    filled in defaults.

    `until` determines how long a job holds the unique key of its work: until it has "finished",
    with any outcome, or has "started" (its first claim). While a job holds the key, `on_conflict`
    decides what a dispatch of the same work does:

    - "return": return the existing job.
    - "refuse": raise UniqueConflict (409 over HTTP), which names the existing job.
    - "replace": return the existing job, with the new payload and time if it hasn't started. The
      new start is at most `at_most` seconds (default 30 days) after the first dispatch's start
      time. A job that has started is returned unchanged. With `then="again"`, another job follows
      when the started job has ended. That job has the payload and time of the latest dispatch.
    """

    by: tuple[str, ...]
    until: Literal["finished", "started"] = "finished"
    on_conflict: Literal["return", "refuse", "replace"] = "return"
    at_most: float | None = None
    then: Literal["again"] | None = None

    def __post_init__(self) -> None:
        is_sequence = isinstance(self.by, tuple | list)
        if not is_sequence or not all(isinstance(name, str) and name for name in self.by):
            raise self._error("by", 'a tuple of names, such as ("list_id",)')
        object.__setattr__(self, "by", tuple(dict.fromkeys(self.by)))
        for name in self.by:
            if name in _ALWAYS_COMPARED:
                raise InvalidDefinition(
                    f"Unique(by=): leave out {name!r}, because jobs of two organizations or two "
                    "job types never do the same work"
                )
        if self.until not in ("finished", "started"):
            raise self._error("until", '"finished" or "started"')
        if self.on_conflict not in ("return", "refuse", "replace"):
            raise self._error("on_conflict", '"return", "refuse" or "replace"')
        self._check_replacing()

    def _check_replacing(self) -> None:
        if self.then not in (None, "again"):
            raise self._error("then", '"again" or None')
        if self.at_most is not None and not _is_seconds(self.at_most):
            raise self._error("at_most", "a number of seconds, 0 or more")
        for name in ("at_most", "then"):
            if getattr(self, name) is not None and self.on_conflict != "replace":
                raise InvalidDefinition(
                    f'Unique({name}=): needs on_conflict="replace", not {self.on_conflict!r}'
                )
        if self.then is not None and self.until == "started":
            raise InvalidDefinition(
                'Unique(then="again"): leave it out with until="started", because a job that has '
                "started doesn't hold its key, so another job is saved at once"
            )

    def _error(self, name: str, expected: str) -> InvalidDefinition:
        return InvalidDefinition(f"Unique({name}={getattr(self, name)!r}): must be {expected}")

    def misfit(self, payload_model: "type[BaseModel]") -> str | None:
        """Return an error message if `by` names a field that the payload lacks, or None."""
        fields = payload_model.model_fields
        unknown = [name for name in self.by if name not in fields]
        if not unknown:
            return None
        from difflib import get_close_matches  # imported here because only this error needs it

        nearest = get_close_matches(unknown[0], fields, n=1)
        if nearest:
            hint = f"did you mean {nearest[0]!r}?"
        elif fields:
            hint = f"it has {', '.join(map(repr, fields))}"
        else:
            hint = "it has none"
        return f"Unique(by=): its payload has no field {unknown[0]!r}; {hint}"

    def key_of(self, job_type: str, organization_id: str, payload: "BaseModel") -> str:
        """Return the unique key of the job's work: a hash of 32 hexadecimal digits.

        Raises InvalidDefinition if `by` names a field that the payload doesn't have.
        """
        misfit = self.misfit(type(payload))
        if misfit:
            raise InvalidDefinition(f"{job_type}: {misfit}")
        values = [[name, canonical(getattr(payload, name))] for name in sorted(self.by)]
        scope = ["unique", organization_id, job_type, values]
        return sha256(json.dumps(scope, sort_keys=True).encode()).hexdigest()[:32]


def _is_seconds(value: object) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and 0 <= value < float("inf")  # type: ignore[operator]
