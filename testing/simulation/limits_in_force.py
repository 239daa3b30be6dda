"""What an invocation of a history may take for the limits of the queue, and since when it must know
of a change."""

from collections.abc import Iterator
from dataclasses import dataclass

from runners import sweeping
from store.limits import CACHED
from testing.moto_direct import Row
from testing.simulation.declared_queues import LIMITED
from testing.simulation.invocation import Invocation
from testing.simulation.simulated_lambda import SKEW, SimulatedLambda
from work import Queue, Rate

# How long a process may go by what it has read of limits, if its clock was set back meanwhile.
_STALE = CACHED + 2 * SKEW
# When a sweep that was asked for is over, by every clock, once a tick has come after that.
SWEPT_AFTER = sweeping.KNOWN_TO_ALL + 2 * SKEW
_NO_LIMITS: Row = {}


@dataclass(frozen=True)
class Believed:
    """What an invocation may take for the limits of the queue."""

    slots: int | None
    rate: Rate | None


class LimitsInForce:
    """The queue's limits and its pause, as people have changed them, and as deploys have."""

    def __init__(self, world: SimulatedLambda) -> None:
        self._world = world
        self._changed: list[tuple[int, Row]] = [(0, _NO_LIMITS)]  # by people, since when
        self._paused_or_resumed_at = 0
        self._sweep = (0, 0)  # when the last was asked for, and by which write
        self.is_paused = False

    def wrote(self, pk: str, sk: str, before: Row, after: Row) -> None:
        """Note that an item was written: perhaps the queue's limits, or its pause."""
        now = self._world.time
        if (pk, sk) == ("paused", f"queue#{LIMITED}"):
            self._paused_or_resumed_at = now
            self.is_paused = after.get("state") == "paused"
        if (pk, sk) == ("limits", LIMITED):
            self._changed.append((now, after))
            is_new = after.get("sweep_asked_at") != before.get("sweep_asked_at")
            if is_new and after.get("sweep_from") == "":
                self._sweep = now, self._world.landed

    def believed(self, invocation: Invocation, since: int, until: int) -> Iterator[Believed]:
        """Yield what an invocation may go by that has read the limits between these times."""
        declared = invocation.queues.get(LIMITED)
        for at, (began, changed) in enumerate(self._changed):
            ended = self._changed[at + 1][0] if at + 1 < len(self._changed) else None
            if began <= until and (ended is None or ended >= since - _STALE):
                yield _merged(declared, changed)

    def known_to(self, invocation: Invocation) -> Believed | None:
        """Return the limits, if an invocation and all that run with it must know them by now."""
        believed = {*self.believed(invocation, invocation.started, self._world.time)}
        if len(believed) > 1 or self._paused_or_resumed_at >= invocation.started - _STALE:
            return None
        return believed.pop()

    def swept_since(self, tick: Invocation) -> int | None:
        """Return by which write the sweep was asked for that must be over with this tick, if nobody
        has paused, resumed or deployed anything since; None if there is none."""
        asked_at, number = self._sweep
        moved_at = max(self._paused_or_resumed_at, self._world.queues.deployed_at)
        is_over = number and tick.started >= asked_at + SWEPT_AFTER and moved_at <= asked_at
        return number if is_over else None


def _merged(declared: Queue | None, changed: Row) -> Believed:
    rate = declared.rate if declared else None
    if changed.get("rate_count"):
        rate = Rate(changed["rate_count"], changed["rate_seconds"], changed["rate_burst"])
    return Believed(changed.get("slots") or (declared.slots if declared else None), rate)
