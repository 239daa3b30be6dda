"""A clock that tests move forward instead of waiting."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from unittest.mock import patch

from job_runners import clock


class MovableClock:
    """A clock that is ahead of the real time by the time that a test has added.

    In an `in_use` block, `job_runners.clock.now()` returns its time.
    """

    def __init__(self) -> None:
        self._real = clock.now
        self.moved = 0  # milliseconds that the test has added

    def now(self) -> int:
        """Return the milliseconds since 1970, as `job_runners.clock.now()` does."""
        return self._real() + self.moved

    @property
    def time(self) -> datetime:
        """The time as a datetime in UTC, for `run_at`."""
        return datetime.fromtimestamp(self.now() / clock.SECOND, UTC)

    def advance(self, seconds: float) -> None:
        """Move the clock forward by `seconds`. Raises ValueError for a negative number."""
        if seconds < 0:
            raise ValueError(f"A clock can't go back: advance({seconds})")
        self.moved += round(seconds * clock.SECOND)

    @contextmanager
    def in_use(self) -> Iterator["MovableClock"]:
        """Use this clock in the block."""
        with patch.object(clock, "now", self.now):
            yield self

    @contextmanager
    def moved_by_sleep(self) -> Iterator[None]:
        """Make `time.sleep` move the clock forward and return at once in this block."""
        with patch.object(time, "sleep", self.advance):
            yield
