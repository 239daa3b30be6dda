"""Declare schedules in code, in `RECURRING`, in the same module as `JOBS`:

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

from job_runners import names
from job_runners.errors import InvalidDefinition
from job_runners.work import function_names, occurrences
from job_runners.work.errors import InvalidOccurrences
from job_runners.work.occurrences import MAX_LATE_STARTS, When

OVERLAPS: Final = ("skip", "queue", "allow")


def check_missed(most_missed: int, overlap: str) -> None:
    """Raise InvalidOccurrences if several missed occurrences may start late but can't overlap."""
    if most_missed > 1 and overlap != "allow":
        raise InvalidOccurrences(
            "missed", 'more than one needs overlap "allow", because the others would be skipped'
        )


@dataclass(frozen=True)
class Each:
    """Start missed occurrences late, but only the latest `most` of them."""

    most: int

    def __post_init__(self) -> None:
        if type(self.most) is not int or not 1 <= self.most <= MAX_LATE_STARTS:
            raise InvalidDefinition(
                f"Each({self.most!r}): must be a whole number, 1 to {MAX_LATE_STARTS}"
            )


@dataclass(frozen=True)
class Recurring:
    """A schedule: a job to dispatch at the times of `cron`, or every `every` seconds.

    - `cron`: five fields (minute, hour, day of the month, month, day of the week) in the local time
      of `timezone`, an IANA name. job_runners/work/occurrences.py describes clock changes.
    - `every`: seconds or a timedelta, from a minute to 366 days, counted from 1970 in UTC.
    - `missed`: which missed occurrences start late: none ("skip"), the latest one ("one"), or the
      latest three (Each(3)). An occurrence is missed if it can't be dispatched when it is due, for
      example in an outage.
    - `overlap`: what to do if the job of the previous occurrence hasn't ended: skip the occurrence
      ("skip"), dispatch it when that job has ended ("queue"), or dispatch it anyway ("allow").

    `check` does the checks that need the cron parser. A build and `make test` call it. A process
    doesn't when it starts.
    """

    job_type: str
    cron: str | None = field(default=None, kw_only=True)
    every: float | timedelta | None = field(default=None, kw_only=True)
    timezone: str = field(default="UTC", kw_only=True)
    organization_id: str = field(kw_only=True)
    payload: Mapping[str, Any] = field(default_factory=dict, kw_only=True)
    missed: Literal["skip", "one"] | Each = field(default="one", kw_only=True)
    overlap: Literal["skip", "queue", "allow"] = field(default="skip", kw_only=True)
    declared_in: function_names.Place = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "declared_in", function_names.caller_outside(__file__))
        if not isinstance(self.job_type, str):
            raise self._error("job_type", "the name of a job")
        if not isinstance(self.organization_id, str) or not names.is_name(self.organization_id):
            raise self._error("organization_id", names.RULE)
        if not isinstance(self.cron, str | None):
            raise self._error("cron", "text")
        if not isinstance(self.timezone, str):
            raise self._error("timezone", "text")
        if not isinstance(self.payload, Mapping):
            raise self._error("payload", "a JSON object")
        if self.missed not in ("skip", "one") and not isinstance(self.missed, Each):
            raise self._error("missed", '"skip", "one" or Each(3)')
        if self.overlap not in OVERLAPS:
            raise self._error("overlap", '"skip", "queue" or "allow"')
        self._run_check(self._check_missed)
        self._run_check(occurrences.check_form)

    @property
    def when(self) -> When:
        """Return the schedule's times. Raises InvalidDefinition."""
        every = self.every
        seconds = every.total_seconds() if isinstance(every, timedelta) else every
        if seconds is not None and (type(seconds) not in (int, float) or seconds % 1):
            raise self._error("every", "whole seconds (15 * 60), or a timedelta")
        return When(self.cron, None if seconds is None else int(seconds), self.timezone)

    @property
    def most_missed(self) -> int:
        """Return the maximum number of missed occurrences that start late."""
        if isinstance(self.missed, Each):
            return self.missed.most
        return 1 if self.missed == "one" else 0

    def check(self) -> None:
        """Raise InvalidDefinition for an invalid cron expression or an unknown time zone."""
        self._run_check(occurrences.check)

    def _check_missed(self, _when: When) -> None:
        check_missed(self.most_missed, self.overlap)

    def _run_check(self, check: Callable[[When], None]) -> None:
        """Check the schedule. Raise InvalidDefinition if the check fails."""
        try:
            check(self.when)
        except InvalidOccurrences as error:
            raise InvalidDefinition(f"Recurring({error.field}=): {error.why}") from None

    def _error(self, name: str, expected: str) -> InvalidDefinition:
        return InvalidDefinition(f"Recurring({name}={getattr(self, name)!r}): must be {expected}")
