"""Translate cron expressions from EventBridge's and Quartz's notation, for error messages."""

import re

_UNITS = {"minute": 60, "hour": 3600, "day": 86_400}
_RATE = re.compile(r"\s*rate\(\s*(\d+)\s+(minute|hour|day)s?\s*\)\s*")
_CRON = re.compile(r"\s*cron\((.*)\)\s*")
# A number that stands for a day of the week. A number after "#" or "/" doesn't.
_DAY_OF_WEEK = re.compile(r"(?<![#/\d])[1-7](?!\d)")


def advice(cron: str) -> tuple[str, str | None]:
    """Return a hint for an expression in another notation, and its equivalent if it has one.

    The hint is empty if the notation is unknown.
    """
    rate = _RATE.fullmatch(cron)
    if rate is not None:
        seconds = int(rate[1]) * _UNITS[rate[2]]
        return f"Give every={seconds} instead, which is in seconds", None
    wrapped = _CRON.fullmatch(cron)
    fields = (wrapped[1] if wrapped else cron).split()
    if len(fields) != 6 or "?" not in fields:
        return "", None
    if "?" in (fields[2], fields[4]):  # EventBridge: the last field is the year
        extra_name, neutral_value = "year", "*"
        extra_field = fields.pop()
    else:  # Quartz: the first field is the seconds
        extra_name, neutral_value = "seconds", "0"
        extra_field = fields.pop(0)
    if extra_field != neutral_value:
        return f"No {extra_name} can be given here", None
    # Sunday is 1 in both notations, and 0 here.
    fields[4] = _DAY_OF_WEEK.sub(lambda day: str(int(day[0]) - 1), fields[4])
    equivalent = " ".join("*" if field == "?" else field for field in fields)
    return f"Leave out the {extra_name}, and write * for ?", equivalent
