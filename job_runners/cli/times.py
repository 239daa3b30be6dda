"""Callbacks for click options that parse times and time spans."""

import re
from datetime import UTC, datetime, timedelta

import click

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_time_span(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:  # noqa: ARG001
    """Return the seconds in a time span such as 90, 90s, 15m, 2h or 1d."""
    if value is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd]?)", value)
    if not match:
        raise click.BadParameter(f"{value!r} isn't a time span. Write it as 90s, 15m, 2h or 1d.")
    return float(match[1]) * _UNITS[match[2]]


_MIN_INTERVAL = 60  # seconds between two occurrences of a schedule
_MAX_INTERVAL = 366 * 86400  # seconds


def parse_interval(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """Return a schedule's interval in seconds. Raises click.BadParameter if it is out of range."""
    seconds = parse_time_span(ctx, param, value)
    if seconds is None:
        return None
    if seconds < _MIN_INTERVAL:
        raise click.BadParameter(f"{value!r} is too short. The minimum is 1m.")
    if seconds > _MAX_INTERVAL:
        raise click.BadParameter(f"{value!r} is too long. The maximum is 366d.")
    return round(seconds)


def parse_time(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:  # noqa: ARG001
    """Return a time in ISO 8601, by default in the local time zone."""
    if value is None:
        return None
    try:
        return datetime.fromisoformat(value).astimezone().isoformat()
    except ValueError:
        raise click.BadParameter(
            f"{value!r} isn't a time. Write it as 2026-05-01T09:00, with a zone such as +02:00 if "
            "it isn't this machine's."
        ) from None


def parse_start(ctx: click.Context, param: click.Parameter, value: str | None) -> datetime | None:
    """Return a start time, given as a time in ISO 8601 or as a time span before now, such as 2h."""
    if value is None:
        return None
    if "-" in value:  # a time, because time spans have no hyphen
        return datetime.fromisoformat(str(parse_time(ctx, param, value)))
    return datetime.now(UTC) - timedelta(seconds=parse_time_span(ctx, param, value) or 0)
