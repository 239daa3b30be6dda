"""Track which limits an invocation may use for the limited queue, and when it must use new ones."""

from collections.abc import Iterator
from dataclasses import dataclass

from histories.declared_queues import LIMITED
from histories.hostile_lambda import SKEW, HostileLambda
from histories.invocation import Invocation
from job_runners.engine.lines import sweeping
from job_runners.store.limits import CACHE_TIME
from job_runners.testing.moto_direct import Row
from job_runners.work import Queue, Rate

# How long a process may use limits that it has read, if its clock is slow.
_STALE = CACHE_TIME + 2 * SKEW
# A sweep (see job_runners/engine/lines/sweeping.py) must be complete after the first timer run that
# begins this long after the sweep's request. That is long enough even if the clocks differ.
SWEPT_AFTER = sweeping.PROPAGATION_TIME + 2 * SKEW
_NO_LIMITS: Row = {}


@dataclass(frozen=True)
class Believed:
    """The limits that an invocation may use for the queue."""

    slots: int | None
    rate: Rate | None


class ActiveLimits:
    """The queue's limits and its pause, with every change by operators and deploys."""

    def __init__(self, world: HostileLambda) -> None:
        self._world = world
        # The limits that operators have set, each with the time of the change.
        self._changed: list[tuple[int, Row]] = [(0, _NO_LIMITS)]
        self._paused_or_resumed_at = 0
        self._sweep = (0, 0)  # the time of the last sweep's request, and the number of its write
        self.is_paused = False

    def wrote(self, pk: str, sk: str, before: Row, after: Row) -> None:
        """Record a written item if it is the queue's limits or its pause."""
        now = self._world.time
        if (pk, sk) == ("paused", f"queue#{LIMITED}"):
            self._paused_or_resumed_at = now
            self.is_paused = after.get("state") == "paused"
        if (pk, sk) == ("limits", LIMITED):
            self._changed.append((now, after))
            is_new = after.get("sweep_asked_at") != before.get("sweep_asked_at")
            if is_new and after.get("sweep_from") == "":
                self._sweep = now, self._world.writes_landed

    def believed(self, invocation: Invocation, since: int, until: int) -> Iterator[Believed]:
        """Yield the limits that an invocation may use if it looks them up between these times.

        It may find them in a cache that is up to `_STALE` old.
        """
        declared = invocation.queues.get(LIMITED)
        for index, (began, changed) in enumerate(self._changed):
            ended = self._changed[index + 1][0] if index + 1 < len(self._changed) else None
            if began <= until and (ended is None or ended >= since - _STALE):
                yield _merged(declared, changed)

    def known_to(self, invocation: Invocation) -> Believed | None:
        """Return the limits that the invocation and all concurrent ones must know by now.

        Return None if some of them may use other limits, or may not know of a pause or its end.
        """
        believed = {*self.believed(invocation, invocation.started, self._world.time)}
        if len(believed) > 1 or self._paused_or_resumed_at >= invocation.started - _STALE:
            return None
        return believed.pop()

    def sweep_required_of(self, timer_run: Invocation) -> int | None:
        """Return the number of the write that requested a sweep, if this timer run must complete
        it.

        Return None if there is no such sweep, or if a pause, a resume or a deploy came after the
        request.
        """
        asked_at, number = self._sweep
        changed_at = max(self._paused_or_resumed_at, self._world.queues.deployed_at)
        must_be_complete = number and timer_run.started >= asked_at + SWEPT_AFTER
        return number if must_be_complete and changed_at <= asked_at else None


def _merged(declared: Queue | None, changed: Row) -> Believed:
    rate = declared.rate if declared else None
    if changed.get("rate_count"):
        rate = Rate(changed["rate_count"], changed["rate_seconds"], changed["rate_burst"])
    return Believed(changed.get("slots") or (declared.slots if declared else None), rate)
