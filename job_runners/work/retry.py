"""Declare how a failed job or task is retried: how many attempts it has, and the waits between."""

from random import SystemRandom

from job_runners.errors import InvalidDefinition
from job_runners.values import Value

# Any other generator has a state, which a SnapStart snapshot would copy into every worker.
_RANDOM = SystemRandom()


class Retry(Value, kw_only=True):
    """A retry policy. Without one, a job or task has one attempt.

    `max_attempts` includes the first attempt. Each wait is random between 0 and a limit (full
    jitter). The limit starts at `base` seconds and doubles with each attempt, up to `cap` seconds.
    So the waits of the default take at most 30 seconds. To outlast an outage, raise `max_attempts`.

    An attempt is interrupted if its worker was killed or its time was over. It may have had side
    effects that aren't recorded. With `interrupted=False`, no other attempt follows it.
    """

    max_attempts: int = 5
    base: float = 2.0
    cap: float = 900.0
    interrupted: bool = True

    def __post_init__(self) -> None:
        if self.max_attempts < 2:
            raise InvalidDefinition(
                f"Retry(max_attempts={self.max_attempts}) never retries. Leave retry out instead"
            )
        if not 0 < self.base <= self.cap:
            raise InvalidDefinition(
                f"Retry(base={self.base}, cap={self.cap}): 0 < base <= cap must hold"
            )

    def delay(self, attempt: int) -> float:
        """Return the seconds to wait after this attempt (counted from 1) has failed."""
        limit = min(self.cap, self.base * 2.0 ** min(attempt - 1, 60))
        return _RANDOM.uniform(0, limit)
