"""The queues that the code of a history declares. A deploy declares other limits, or none."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import cast

from job_runners import clock
from job_runners.engine.registry.registry import registry
from job_runners.work import Queue, Rate

LIMITED = "narrow"  # the queue that limits are declared for

Declared = Mapping[str, Queue]

_NOTHING: Declared = MappingProxyType({})
_DEPLOY_TIME = clock.MINUTE  # the length of a deploy, in which invocations may run the old code

SLOTS = (None, 1, 1, 2, 3)
# The rates are slow compared with the clock skew, so that an early start is noticed.
RATES = (None, None, Rate(1, seconds=200), Rate(2, seconds=600, burst=2))


class DeclaredQueues:
    """The queues that a world's deploys declare. Each invocation uses the queues of its code."""

    def __init__(self, now: Callable[[], int], choose: Callable[[str, int], int]) -> None:
        self._now = now
        self._choose = choose
        self._deployed_at = 0
        self._before = self._latest = self._active = _NOTHING

    @property
    def deployed_at(self) -> int:
        """Return the time at which the last deploy began, in the world's time."""
        return self._deployed_at

    def deploy(self, declared: Declared) -> None:
        """Deploy other code. For a minute, a new invocation runs either the old code or the new."""
        self._deployed_at = self._now()
        self._before, self._latest = self._latest, declared
        self.use(None)

    def deploy_any(self) -> None:
        """Deploy code that declares other limits for the queue, or none."""
        is_limited = self._choose("whether a deploy limits", 4) < 3
        self.deploy({LIMITED: self._any_queue()} if is_limited else _NOTHING)

    def of_new_invocation(self) -> Declared:
        """Choose the code of an invocation that begins, and return the queues that it declares."""
        is_deploying = self._now() < self._deployed_at + _DEPLOY_TIME
        if is_deploying and self._before != self._latest and self._choose("which deploy", 2) == 1:
            return self._before
        return self._latest

    def use(self, declared: Declared | None) -> None:
        """Put declared queues into the registry. None means those of the latest deploy."""
        declared = self._latest if declared is None else declared
        if declared is not self._active:
            self._active = declared
            queues = cast(dict[str, Queue], registry().queues)
            queues.pop(LIMITED, None)
            queues.update(declared)

    def _any_queue(self) -> Queue:
        slots = SLOTS[self._choose("slots", len(SLOTS))]
        rate = RATES[self._choose("rate", len(RATES))]
        if slots is None and rate is None:
            slots = 1
        return Queue(
            slots=slots,
            rate=rate,
            per=(None, None, None, "organization_id", "steps")[self._choose("per", 5)],
            order=("fifo", "fair")[self._choose("order", 2)],
            max_waiting=10_000 if self._choose("whether it is soon full", 10) < 9 else 1,
        )
