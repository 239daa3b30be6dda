"""The rate at which a queue's jobs may start.

Other definitions are in `work`. This one is in `store`, because stored limits have rates too.
"""

import math
from typing import Final

from job_runners.errors import InvalidDefinition
from job_runners.values import Value

MAX_PERIOD: Final = 24 * 60 * 60  # seconds
# The shortest period that an API caller can store, which is the precision of the clocks. DynamoDB
# would refuse numbers as small as 1E-131.
MIN_STORED_PERIOD: Final = 0.001  # seconds
MAX_STARTS: Final = 1_000_000  # per period, and per burst


class Rate(Value):
    """How many jobs may start in a period: `Rate(30, seconds=60)` is one every 2 seconds.

    Starts are spread over the period. After a quiet time, `burst` jobs may start at once. So in the
    period after that, up to `burst - 1` jobs more than `count` can start. `count` and `burst` are 1
    to 1,000,000. `seconds` is above 0 and at most a day.
    """

    count: int
    seconds: float = 1
    burst: int = 1

    def __post_init__(self) -> None:
        for name in ("count", "burst"):
            value = getattr(self, name)
            if not is_positive_integer(value, MAX_STARTS):
                raise InvalidDefinition(
                    f"Rate({name}={value!r}): must be a whole number, 1 to {MAX_STARTS:,}"
                )
        seconds = self.seconds
        is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
        if not is_number or not 0 < seconds <= MAX_PERIOD:  # also refuses NaN
            raise InvalidDefinition(
                f"Rate(seconds={seconds!r}): must be above 0, at most {MAX_PERIOD:,} (a day)"
            )

    @property
    def interval(self) -> int:
        """Return the microseconds from one start to the next, rounded up."""
        return max(1, math.ceil(self.seconds * 1_000_000 / self.count))

    # Each start uses up one interval. If jobs start in a burst, they use up future intervals.

    def end_of_next_interval(self, used_until: int, now: int) -> int:
        """Return the end of the interval that the next start uses up.

        The interval begins when the last used one ends, `used_until`, but not before `now`. All
        three times are in microseconds since 1970.
        """
        return max(used_until, now) + self.interval

    def next_start_at(self, used_until: int) -> int:
        """Return when the next start is allowed, in milliseconds since 1970.

        `used_until` is the end of the last used interval, in microseconds since 1970.
        """
        microseconds = used_until - (self.burst - 1) * self.interval
        return -(-microseconds // 1000)  # `//` rounds down, so this rounds up


def is_positive_integer(value: object, maximum: int) -> bool:
    """Return whether a value is a whole number from 1 to `maximum`."""
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= maximum
