"""The clock of all other modules. Times are whole milliseconds since 1970 in UTC."""

import time
from datetime import UTC, datetime

SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def now() -> int:
    """Return the current time of this machine in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def expiry(lifetime: int) -> int:
    """Return the expiry of an item that is written now, in seconds since 1970, as TTL requires.

    `lifetime` is in milliseconds.
    """
    return (now() + lifetime) // SECOND


def sleep(seconds: float) -> None:
    """Wait for this many seconds."""
    time.sleep(seconds)


def iso(milliseconds: int) -> str:
    """Return a time in ISO 8601, with milliseconds and the zone "Z"."""
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
