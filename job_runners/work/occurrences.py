"""Compute when a schedule's jobs start, from a cron expression or an interval.

The functions don't depend on the current time or on stored data. So all processes compute the same
times.

The times of a cron expression are local times. In most zones, the clock skips one hour of the year
and repeats another. For those hours, this module follows the rules of Debian's cron:

- If minute and hour both start with a digit ("30 2 * * *"), the job runs once for each matching
  local time. If the clock skips that time, the job runs at the moment when the clock jumps. If the
  clock shows that time twice, the job runs only the first time.
- If one of them starts with a star ("*/15 * * * *"), the job runs whenever the zone's clock shows
  a matching time. So it never runs at a skipped time, and runs twice at a repeated time.

The parser of cron expressions is the package cronsim.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from job_runners import clock
from job_runners.work.errors import InvalidOccurrences

if TYPE_CHECKING:
    from cronsim import CronSim

MIN_INTERVAL: Final = 60  # seconds; the timer runs once a minute
MAX_INTERVAL: Final = 366 * 24 * 60 * 60  # seconds
ALLOWED_INTERVALS: Final = f"{MIN_INTERVAL} to {MAX_INTERVAL:,} seconds (a minute to 366 days)"
MAX_CRON_LENGTH: Final = 256  # characters
MAX_LATE_STARTS: Final = 100  # how many missed occurrences of a schedule may start late
UPCOMING_COUNT: Final = 5  # how many of the next occurrences are shown with a schedule

_FIELDS: Mapping[str, str] = {
    "minute": "0 to 59",
    "hour": "0 to 23",
    "day-of-month": "1 to 31, L for the last, or LW for the last weekday",
    "month": "1 to 12, or JAN to DEC",
    "day-of-week": "0 to 7, where 0 and 7 are Sunday, SUN to SAT, 5L for the last Friday, or 5#2 "
    "for the second",
}
# This follows the allowed values of a field in an error message.
_FORMS = "Each may be *, a range (1-5), a step (*/15) or a list (1,15) of these"
_EXAMPLE = "'0 2 * * *' is every day at 02:00"
_UNITS = (("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)
# How far around a moment to look for clock changes. This is longer than any zone's offset from UTC,
# and longer than any clock change.
_SEARCH_MARGIN = 2 * _DAY
_SECOND = timedelta(seconds=1)


class When(NamedTuple):
    """The times of a schedule: a cron expression in a time zone, or an interval of `every` seconds.

    The times of an interval are the multiples of `every` since 1970 in UTC.
    """

    cron: str | None = None
    every: int | None = None
    timezone: str = "UTC"


def check(when: When) -> None:
    """Raise InvalidOccurrences for invalid times, and for a cron expression that never matches."""
    check_form(when)
    _zone(when.timezone)
    if when.cron is not None and _next_local(when.cron, _EPOCH.replace(tzinfo=None)) is None:
        raise _never_matches(when.cron)


def check_form(when: When) -> None:
    """Do the quick part of `check`, without the cron parser and the time zones.

    This checks the number of fields and the limits, but not the values of the fields.
    """
    has_cron = when.cron is not None
    has_every = when.every is not None
    if has_cron == has_every:
        raise InvalidOccurrences("cron", "exactly one of cron and every must be given")
    if when.cron is not None:
        if len(when.cron) > MAX_CRON_LENGTH:
            raise InvalidOccurrences("cron", f"must have at most {MAX_CRON_LENGTH} characters")
        field_count = len(when.cron.split())
        if field_count != len(_FIELDS):
            fields = "1 field" if field_count == 1 else f"{field_count} fields"
            raise InvalidOccurrences(
                "cron",
                f"{when.cron!r} has {fields}; it must have five: minute, hour, day of the month, "
                f"month, day of the week. {_advice(when.cron)}",
            )
    if when.every is not None:
        if not MIN_INTERVAL <= when.every <= MAX_INTERVAL:
            raise InvalidOccurrences("every", f"must be {ALLOWED_INTERVALS}")
        if when.timezone != "UTC":
            raise InvalidOccurrences(
                "timezone", "can be given only with cron, because times of `every` are in UTC"
            )


def _advice(cron: str) -> str:
    """Return advice on an invalid cron expression, with its valid equivalent if it has one."""
    from job_runners.work import other_notations  # imported here because only this error needs it

    hint, equivalent = other_notations.advice(cron)
    if _is_valid_cron(equivalent):
        return f"{hint}: {equivalent!r}"
    return hint or _EXAMPLE


def _is_valid_cron(cron: str | None) -> bool:
    """Return whether an expression is valid. None is not."""
    try:
        check(When(cron))
    except InvalidOccurrences:
        return False
    return True


def next_after(when: When, after: int) -> int | None:
    """Return the first time after `after`, or None if there is none within 50 years.

    Both are in milliseconds since 1970. Raises InvalidOccurrences.
    """
    if when.every is not None:
        step = when.every * clock.SECOND
        return (after // step + 1) * step
    # Whole seconds are enough: an expression matches only whole minutes, and clocks change only at
    # whole seconds.
    since = _EPOCH + timedelta(seconds=after // clock.SECOND)
    moment = _next_moment(_expression(when), _zone(when.timezone), since)
    # The number of whole seconds since 1970, in milliseconds.
    return None if moment is None else (moment - _EPOCH) // _SECOND * clock.SECOND


def upcoming(when: When, after: int, count: int = UPCOMING_COUNT) -> list[int]:
    """Return up to `count` times after `after`, in milliseconds since 1970."""
    return list(islice(_times_after(when, after), count))


def in_words(when: When) -> str:
    """Return the times in words, such as "at 02:00 every day, Europe/Berlin".

    Raises InvalidOccurrences.
    """
    if when.every is not None:
        # Find the largest unit of which the interval is a multiple.
        unit, size = next((unit, size) for unit, size in _UNITS if when.every % size == 0)
        count = when.every // size
        return f"every {unit}" if count == 1 else f"every {count} {unit}s"
    words = _correct_ordinals(_local_times(_expression(when), _EPOCH).explain())
    # cronsim joins a day of the month and a day of the week by "and", but either one is enough.
    words = words.replace(" and on ", " or on ")
    return f"{words[0].lower()}{words[1:]}, {when.timezone}"


def _times_after(when: When, after: int) -> Iterator[int]:
    time = next_after(when, after)
    while time is not None:
        yield time
        time = next_after(when, time)


# --- cron expressions -----------------------------------------------------------------------------


def _expression(when: When) -> str:
    """Return the cron expression. Raises InvalidOccurrences if there is none."""
    if when.cron is None:
        raise InvalidOccurrences("cron", "exactly one of cron and every must be given")
    return when.cron


def _next_moment(cron: str, zone: tzinfo, after: datetime) -> datetime | None:
    """Return the first moment after `after` at which a job starts. Both are in UTC."""
    minute, hour = cron.split()[:2]
    if minute.startswith("*") or hour.startswith("*"):
        return _next_shown(cron, zone, after)
    # Given a time with a zone, cronsim already moves skipped times to the moment of the jump.
    for local in _local_times(cron, after.astimezone(zone)):
        moment = local.astimezone(UTC)
        # If the clock shows this local time twice, `moment` is the first of the two, which may have
        # passed. Then try the next time.
        if moment > after:
            return moment
    return None


def _next_shown(cron: str, zone: tzinfo, after: datetime) -> datetime | None:
    """Return the first moment after `after` at which the zone's clock shows a matching time.

    This doesn't use cronsim's own search in a zone, which has bugs: it leaves out times after a
    clock change by half an hour or at midnight, and after some changes that aren't at a full hour,
    it never ends.

    Between two clock changes, local time is UTC plus a constant offset. So each step takes the next
    matching local time, converts it with the offset at `after`, and looks for a clock change
    between `after` and the match. If there is one, the search begins again from the change.

    A match may be years away. Then only two stretches of time matter. A change soon after `after`
    may repeat a matching time. A change shortly before the match alters the match's offset. So this
    looks at the first stretch, then skips to the second one.
    """
    search_from = _local(zone, after)
    while (local := _next_local(cron, search_from)) is not None:
        moment = local.replace(tzinfo=UTC) - _offset(zone, after)
        is_far = moment - after > 2 * _SEARCH_MARGIN
        search_until = after + _SEARCH_MARGIN if is_far else moment
        change = _first_change(zone, after, search_until)
        if change is not None:
            # Search again from the change, which may itself be at a matching time.
            after = change
            search_from = _local(zone, change) - _SECOND
        elif is_far:
            after = moment - _SEARCH_MARGIN
        else:
            return moment
    return None


def _first_change(zone: tzinfo, after: datetime, until: datetime) -> datetime | None:
    """Return when the zone's clock first changes after `after` and up to `until`, or None.

    No clock changes twice within a day.
    """
    offset = _offset(zone, after)
    while after < until:
        day_later = min(after + _DAY, until)
        if _offset(zone, day_later) != offset:
            return _change_between(zone, after, day_later)
        after = day_later
    return None


def _change_between(zone: tzinfo, before: datetime, changed: datetime) -> datetime:
    """Return the moment of a zone's clock change, to the second.

    It lies between `before` and `changed`, and there must be only one. At the returned moment, the
    clock already has its new offset.
    """
    offset = _offset(zone, before)
    while changed - before > _SECOND:  # a binary search
        # Add half of the gap, in whole seconds.
        middle = before + (changed - before) // _SECOND // 2 * _SECOND
        if _offset(zone, middle) == offset:
            before = middle
        else:
            changed = middle
    return changed


def _offset(zone: tzinfo, moment: datetime) -> timedelta:
    """Return the difference between the zone's local time and UTC."""
    return _local(zone, moment).replace(tzinfo=UTC) - moment


def _local(zone: tzinfo, moment: datetime) -> datetime:
    """Return the zone's local time."""
    return moment.astimezone(zone).replace(tzinfo=None)


def _next_local(cron: str, after: datetime) -> datetime | None:
    """Return the first matching local time after `after`, as if clocks never changed.

    Raises InvalidOccurrences.
    """
    return next(_local_times(cron, after), None)


def _local_times(cron: str, after: datetime) -> "CronSim":
    """Return an iterator over the matching times after `after`. Raises InvalidOccurrences.

    The iterator's `explain` describes the times in words. If the expression is invalid, the error
    names the wrong field, or says that the months don't have the day.
    """
    from cronsim import CronSim, CronSimError

    try:
        return CronSim(cron, after)
    except CronSimError as error:
        field = str(error).removeprefix("Bad ")
    fields = cron.split()
    if field == "day-of-month":
        # cronsim also reports this field if the given months don't have the day. Then the
        # expression would be valid with any month.
        try:
            CronSim(" ".join([*fields[:3], "*", fields[4]]), after)
        except CronSimError:
            pass  # the field itself is wrong
        else:
            raise _never_matches(cron)
    value = fields[list(_FIELDS).index(field)]
    raise InvalidOccurrences(
        "cron", f"the {field} of {cron!r} is {value!r}; it must be {_FIELDS[field]}. {_FORMS}"
    )


def _never_matches(cron: str) -> InvalidOccurrences:
    return InvalidOccurrences("cron", f"{cron!r} never matches: these months have no such day")


def _correct_ordinals(words: str) -> str:
    """Correct cronsim's wrong ordinals, for example "31th" to "31st"."""
    endings = {"1": "st", "2": "nd", "3": "rd"}

    def correct(ordinal: re.Match[str]) -> str:
        tens, ones = ordinal.groups()
        return f"{tens}{ones}{endings[ones]}"

    return re.sub(r"\b([2-5])([1-3])th\b", correct, words)


# --- zones ----------------------------------------------------------------------------------------


@cache
def _zone(name: str) -> tzinfo:
    """Return a time zone from the package tzdata. The machine's data may be older or missing."""
    if name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo

    zone_names = zones()
    if name not in zone_names:
        from difflib import get_close_matches  # imported here because only this error needs it

        nearest = get_close_matches(name, zone_names, n=1, cutoff=0.5)
        hint = f"did you mean {nearest[0]!r}?" if nearest else "an example is 'Europe/Berlin'"
        raise InvalidOccurrences("timezone", f"there is no time zone {name!r}; {hint}")
    with _tzdata().joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


@cache
def zones() -> frozenset[str]:
    """Return the IANA names of all time zones."""
    return frozenset(_tzdata().joinpath("zones").read_text(encoding="ascii").split())


def _tzdata() -> Path:
    return Path(import_module("tzdata").__path__[0])
