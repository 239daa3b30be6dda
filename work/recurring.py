"""Work that comes again and again: `RECURRING` beside `JOBS` names it.

RECURRING = {
    "nightly_report": Recurring(
        "make_report", cron="0 2 * * *", timezone="Europe/Berlin", organization_id="acme"
    )
}
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, Literal

import names
from errors import InvalidDefinition
from work import entries, occurrences
from work.errors import InvalidOccurrences
from work.occurrences import MOST_MISSED, When

OVERLAPS: Final = ("skip", "queue", "allow")


def check_missed(most: int, overlap: str) -> None:
    """Raise InvalidOccurrences if several occurrences are made up for that may not overlap."""
    if most > 1 and overlap != "allow":
        raise InvalidOccurrences(
            "missed", 'more than one needs overlap "allow": the others would be left out'
        )


@dataclass(frozen=True)
class Each:
    """Of occurrences that were missed, each is made up for: of more than `most`, the latest."""

    most: int

    def __post_init__(self) -> None:
        if type(self.most) is not int or not 1 <= self.most <= MOST_MISSED:
            raise InvalidDefinition(
                f"Each({self.most!r}): must be a whole number, 1 to {MOST_MISSED}"
            )


@dataclass(frozen=True)
class Recurring:
    """A job that is dispatched again and again, at the times of `cron` or each `every` seconds.

    `cron` has five fields (minute, hour, day of the month, month, day of the week) and means the
    local time of `timezone`, by its IANA name. `every` is in seconds, or a timedelta, from a minute
    to 366 days; it counts from 1970 in UTC. work/occurrences.py says what is done when clocks
    change.

    An occurrence is missed if it was due while nothing could dispatch it, such as in an outage: of
    those, none is made up for ("skip"), one ("one"), or each (Each(3): the latest three). While the
    job of an earlier occurrence is unfinished, the next one is left out ("skip"), dispatched as
    soon as that has ended ("queue"), or dispatched all the same ("allow").

    What needs the reader of cron expressions is checked by `check`, which a build and `make test`
    call: a process that starts does without.
    """

    job_type: str
    cron: str | None = field(default=None, kw_only=True)
    every: float | timedelta | None = field(default=None, kw_only=True)
    timezone: str = field(default="UTC", kw_only=True)
    organization_id: str = field(kw_only=True)
    campaign_id: str | None = field(default=None, kw_only=True)
    payload: Mapping[str, Any] = field(default_factory=dict, kw_only=True)
    missed: Literal["skip", "one"] | Each = field(default="one", kw_only=True)
    overlap: Literal["skip", "queue", "allow"] = field(default="skip", kw_only=True)
    written_at: entries.Place = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "written_at", entries.caller_outside(__file__))
        if not isinstance(self.job_type, str):
            raise self._wrong("job_type", "the name of a job")
        for name in ("organization_id", "campaign_id"):
            value = getattr(self, name)
            if value is None and name == "campaign_id":
                continue
            if not isinstance(value, str) or not names.is_name(value):
                raise self._wrong(name, names.RULE)
        for name, kind in (("cron", str | None), ("timezone", str), ("payload", Mapping)):
            if not isinstance(getattr(self, name), kind):
                raise self._wrong(name, "a JSON object" if kind is Mapping else "text")
        if self.missed not in ("skip", "one") and not isinstance(self.missed, Each):
            raise self._wrong("missed", '"skip", "one" or Each(3)')
        if self.overlap not in OVERLAPS:
            raise self._wrong("overlap", '"skip", "queue" or "allow"')
        self._checked(lambda when: check_missed(self.most_missed, self.overlap))
        self._checked(occurrences.check_form)

    @property
    def when(self) -> When:
        """Its times."""
        every = self.every
        seconds = every.total_seconds() if isinstance(every, timedelta) else every
        if seconds is not None and (type(seconds) not in (int, float) or seconds % 1):
            raise self._wrong("every", "whole seconds (15 * 60), or a timedelta")
        return When(self.cron, None if seconds is None else int(seconds), self.timezone)

    @property
    def most_missed(self) -> int:
        """How many of the occurrences that were missed are made up for."""
        if isinstance(self.missed, Each):
            return self.missed.most
        return 1 if self.missed == "one" else 0

    def check(self) -> None:
        """Raise InvalidDefinition for a cron expression or a zone that there is not."""
        self._checked(occurrences.check)

    def _checked(self, check: Callable[[When], None]) -> None:
        try:
            check(self.when)
        except InvalidOccurrences as error:
            raise InvalidDefinition(f"Recurring({error.field}=): {error.why}") from None

    def _wrong(self, name: str, expected: str) -> InvalidDefinition:
        return InvalidDefinition(f"Recurring({name}={getattr(self, name)!r}): must be {expected}")
