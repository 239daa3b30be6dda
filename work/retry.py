"""The retry tag: how often work that failed is tried again, and how long it waits in between."""

from random import SystemRandom

from errors import InvalidDefinition
from frozen_values import Value

# A SnapStart snapshot would clone the state of any other generator into every worker.
_RANDOM = SystemRandom()


class Retry(Value, kw_only=True):
    """Work with this tag may run more than once; work without it never does.

    `max_attempts` counts the first one. Waits are drawn at random between 0 and a bound that starts
    at `base` seconds and doubles with each attempt up to `cap` seconds (full jitter).

    An attempt that was cut off, by a kill or at its time limit, may have had effects that nobody
    can tell: with `interrupted=False` it is not followed by another.
    """

    max_attempts: int = 5
    base: float = 2.0
    cap: float = 900.0
    interrupted: bool = True

    def __post_init__(self) -> None:
        if self.max_attempts < 2:
            raise InvalidDefinition(
                f"Retry(max_attempts={self.max_attempts}) never retries; leave the tag out instead"
            )
        if not 0 < self.base <= self.cap:
            raise InvalidDefinition(
                f"Retry(base={self.base}, cap={self.cap}): 0 < base <= cap must hold"
            )

    def delay(self, attempt: int) -> float:
        """Return the seconds to wait after the given attempt (counted from 1) has failed."""
        bound = min(self.cap, self.base * 2.0 ** min(attempt - 1, 60))
        return _RANDOM.uniform(0, bound)
