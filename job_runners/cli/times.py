"""Parse times and time spans of the command line."""

import re
from datetime import UTC, datetime, timedelta

import click

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:  # noqa: ARG001
    """Return the seconds in a time span such as 90, 90s, 15m, 2h or 1d."""
    if value is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd]?)", value)
    if not match:
        raise click.BadParameter(f"{value!r} isn't a time span. Write it as 90s, 15m, 2h or 1d.")
    return float(match[1]) * _UNITS[match[2]]


_SHORTEST, _LONGEST = 60, 366 * 86400  # seconds between two occurrences of a schedule


def interval(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """Return the seconds in an interval for a schedule. Raises click.BadParameter."""
    found = seconds(ctx, param, value)
    if found is None:
        return None
    if not _SHORTEST <= found <= _LONGEST:
        too = "short. The minimum is 1m" if found < _SHORTEST else "long. The maximum is 366d"
        raise click.BadParameter(f"{value!r} is too {too}.")
    return round(found)


def moment(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:  # noqa: ARG001
    """Return a time in ISO 8601. A time without a zone is in this machine's time zone."""
    if value is None:
        return None
    try:
        return datetime.fromisoformat(value).astimezone().isoformat()
    except ValueError:
        raise click.BadParameter(
            f"{value!r} isn't a time. Write it as 2026-05-01T09:00, with a zone such as +02:00 if "
            "it isn't this machine's."
        ) from None


def earlier(ctx: click.Context, param: click.Parameter, value: str | None) -> datetime | None:
    """Return the time that a time span ago was, or that is written in ISO 8601."""
    if value is None:
        return None
    if "-" in value:
        return datetime.fromisoformat(str(moment(ctx, param, value)))
    return datetime.now(UTC) - timedelta(seconds=seconds(ctx, param, value) or 0)
