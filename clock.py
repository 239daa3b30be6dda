"""The one clock. Times are whole milliseconds since 1970, UTC."""

import time
from datetime import UTC, datetime

SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def now() -> int:
    """Return the milliseconds since 1970, by this machine's clock."""
    return time.time_ns() // 1_000_000


def sleep(seconds: float) -> None:
    """Wait."""
    time.sleep(seconds)


def iso(milliseconds: int) -> str:
    """Return a time as people and programs read it: ISO 8601 with milliseconds and its zone."""
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
