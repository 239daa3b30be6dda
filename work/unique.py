"""What makes a job unique: that no second one of its type is kept, or runs, beside it.

JOBS = {"assign_texters": Job(assign, unique=Unique(by=("campaign_id",)))}
"""

import json
from hashlib import sha256
from typing import TYPE_CHECKING, Literal

from errors import InvalidDefinition
from frozen_values import Value
from work.payload_values import has_field, plain

if TYPE_CHECKING:
    from pydantic import BaseModel

_CAMPAIGN = "campaign_id"
_IMPLIED = ("organization_id", "job_type")


class Unique(Value, kw_only=True):
    """The rule by which jobs of a type are the same work, and what becomes of a second one.

    Two jobs are the same work if they are of one organisation and one type, and are alike in all
    that `by` names: "campaign_id", and fields of the payload. With `by=()` there is one job for
    each organisation. Values are compared as the payload's model has them, defaults included.

    A job holds its place `until` it is "finished", however it ends, or until it is "started": its
    first claim. Whoever asks for the same work meanwhile gets, by `on_conflict`:

    - "return": the job there is;
    - "refuse": UniqueConflict, over HTTP 409, which names it;
    - "replace": the job there is, which takes the new payload and time as long as it has not begun.
      It never starts later than `at_most` seconds after the first was to start (30 days, unless
      it is given). One that has begun is returned as it is; or with `then="again"` one more
      follows when it has ended, and takes whatever is asked for until then.
    """

    by: tuple[str, ...]
    until: Literal["finished", "started"] = "finished"
    on_conflict: Literal["return", "refuse", "replace"] = "return"
    at_most: float | None = None
    then: Literal["again"] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.by, tuple | list) or not all(
            isinstance(name, str) and name for name in self.by
        ):
            raise self._wrong("by", 'a tuple of names, such as ("campaign_id",)')
        object.__setattr__(self, "by", tuple(dict.fromkeys(self.by)))
        for name in self.by:
            if name in _IMPLIED:
                raise InvalidDefinition(
                    f"Unique(by=): leave out {name!r}: no two organisations, and no two job types, "
                    "have the same work"
                )
        if self.until not in ("finished", "started"):
            raise self._wrong("until", '"finished" or "started"')
        if self.on_conflict not in ("return", "refuse", "replace"):
            raise self._wrong("on_conflict", '"return", "refuse" or "replace"')
        self._check_replacing()

    def _check_replacing(self) -> None:
        if self.then not in (None, "again"):
            raise self._wrong("then", '"again" or None')
        if self.at_most is not None and not _is_seconds(self.at_most):
            raise self._wrong("at_most", "a number of seconds, 0 or more")
        for name in ("at_most", "then"):
            if getattr(self, name) is not None and self.on_conflict != "replace":
                raise InvalidDefinition(
                    f'Unique({name}=): is for on_conflict="replace" alone, not {self.on_conflict!r}'
                )
        if self.then is not None and self.until == "started":
            raise InvalidDefinition(
                'Unique(then="again"): leave it out with until="started": a job that has begun is '
                "in nobody's way there, so another one is kept at once"
            )

    def _wrong(self, name: str, expected: str) -> InvalidDefinition:
        return InvalidDefinition(f"Unique({name}={getattr(self, name)!r}): must be {expected}")

    def wrong_for(self, payload_model: "type[BaseModel]") -> str | None:
        """Return what is wrong if `by` names what such a payload does not have, and what to do."""
        fields = payload_model.model_fields
        if _CAMPAIGN in self.by and has_field(payload_model, _CAMPAIGN):
            return (
                f"Unique(by=): {_CAMPAIGN!r} is the job's own campaign, but its payload has a "
                "field of that name, which would not be used: call that field something else"
            )
        unknown = [name for name in self.by if name != _CAMPAIGN and name not in fields]
        if not unknown:
            return None
        from difflib import get_close_matches  # for this error alone

        nearest = get_close_matches(unknown[0], [*fields, _CAMPAIGN], n=1)
        if nearest:
            hint = f"did you mean {nearest[0]!r}?"
        elif fields:
            hint = f"it has {', '.join(map(repr, fields))}"
        else:
            hint = "it has none"
        return f"Unique(by=): its payload has no field {unknown[0]!r}; {hint}"

    def key_of(
        self, job_type: str, organization_id: str, campaign_id: str | None, payload: "BaseModel"
    ) -> str:
        """Return the one key of all jobs that are the same work: a hash, of 32 hexadecimal digits.

        Raises InvalidDefinition for a name in `by` that the payload does not have.
        """
        if wrong := self.wrong_for(type(payload)):
            raise InvalidDefinition(f"{job_type}: {wrong}")
        values = [
            [name, campaign_id if name == _CAMPAIGN else plain(getattr(payload, name))]
            for name in sorted(self.by)
        ]
        scope = ["unique", organization_id, job_type, values]
        return sha256(json.dumps(scope, sort_keys=True).encode()).hexdigest()[:32]


def _is_seconds(value: object) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and 0 <= value < float("inf")  # type: ignore[operator]
