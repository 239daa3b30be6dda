"""A clock that tests move forward instead of waiting."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from unittest.mock import patch

from job_runners import clock


class MovableClock:
    """A clock that runs like the real one, but that a test can move forward.

    In an `in_use` block, `job_runners.clock.now()` returns this clock's time.
    """

    def __init__(self) -> None:
        self._real_now = clock.now
        self.moved = 0  # milliseconds by which it is ahead of the real time

    def now(self) -> int:
        """Return the milliseconds since 1970, as `job_runners.clock.now()` does."""
        return self._real_now() + self.moved

    @property
    def time(self) -> datetime:
        """This clock's time as a datetime in UTC, for `run_at`."""
        return datetime.fromtimestamp(self.now() / clock.SECOND, UTC)

    def advance(self, seconds: float) -> None:
        """Move the clock forward. Raises ValueError if `seconds` is negative."""
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
        """Make `time.sleep` return at once, and move this clock forward instead."""
        with patch.object(time, "sleep", self.advance):
            yield
