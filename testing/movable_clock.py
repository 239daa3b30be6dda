"""A clock that tests move on instead of waiting."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from unittest.mock import patch

import clock


class MovableClock:
    """The real time, and how far a test has moved it on. While it is `standing`, it is the time of
    all code that reads `clock.now()`."""

    def __init__(self) -> None:
        self._real = clock.now
        self.moved = 0  # milliseconds

    def now(self) -> int:
        """Return the milliseconds since 1970, as `clock.now()` does."""
        return self._real() + self.moved

    @property
    def time(self) -> datetime:
        """The same as a time in UTC: for `run_at`, say."""
        return datetime.fromtimestamp(self.now() / clock.SECOND, UTC)

    def advance(self, seconds: float) -> None:
        """Let so many seconds go by at once. Raises ValueError for fewer than none."""
        if seconds < 0:
            raise ValueError(f"time does not go back: advance({seconds})")
        self.moved += round(seconds * clock.SECOND)

    @contextmanager
    def standing(self) -> Iterator["MovableClock"]:
        """Be the clock in this block."""
        with patch.object(clock, "now", self.now):
            yield self

    @contextmanager
    def sleeps_move_it(self) -> Iterator[None]:
        """In this block `time.sleep` moves the clock on and returns at once."""
        with patch.object(time, "sleep", self.advance):
            yield
