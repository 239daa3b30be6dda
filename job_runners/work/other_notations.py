"""Translate the cron notations of EventBridge and Quartz, for error messages."""

import re

_UNITS = {"minute": 60, "hour": 3600, "day": 86_400}
_RATE = re.compile(r"\s*rate\(\s*(\d+)\s+(minute|hour|day)s?\s*\)\s*")
_CRON = re.compile(r"\s*cron\((.*)\)\s*")
# The number of a day of the week, but not the number after "#" or "/".
_DAY_OF_WEEK = re.compile(r"(?<![#/\d])[1-7](?!\d)")


def advice(cron: str) -> tuple[str, str | None]:
    """Return a hint for an expression in another notation, and the equivalent cron expression if
    there is one. The hint is empty if the notation is unknown."""
    rate = _RATE.fullmatch(cron)
    if rate is not None:
        return f"Give every={int(rate[1]) * _UNITS[rate[2]]} instead, which is in seconds", None
    wrapped = _CRON.fullmatch(cron)
    fields = (wrapped[1] if wrapped else cron).split()
    if len(fields) != 6 or "?" not in fields:
        return "", None
    if "?" in (fields[2], fields[4]):  # EventBridge: the last field is the year
        *fields, left_out = fields
        what, any_value = "year", "*"
    else:
        left_out, *fields = fields
        what, any_value = "seconds", "0"
    if left_out != any_value:
        return f"No {what} can be given here", None
    # Sunday is 1 in that notation, and 0 here.
    fields[4] = _DAY_OF_WEEK.sub(lambda day: str(int(day[0]) - 1), fields[4])
    equivalent = " ".join("*" if each == "?" else each for each in fields)
    return f"Leave out the {what}, and write * for ?", equivalent
