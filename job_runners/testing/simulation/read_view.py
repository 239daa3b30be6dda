"""Decide which recent writes an eventually consistent read misses."""

from zlib import crc32

from job_runners import clock
from job_runners.fake_dynamodb.behind_moto import database
from job_runners.fake_dynamodb.database import Consistency
from job_runners.fake_dynamodb.stale import RecentWrites
from job_runners.fake_dynamodb.tables import Key, Overlay, Table
from job_runners.testing.simulation.simulated_lambda import SimulatedLambda

_MAX_WRITES = 12  # that a read may miss
_MAX_LAG = 2 * clock.MINUTE  # after this time, all reads see a write


class ReadView:
    """Decides what the reads of a world see."""

    def __init__(self, world: SimulatedLambda) -> None:
        self._world = world
        self._recent = RecentWrites(
            database(), max_writes=_MAX_WRITES, max_age=_MAX_LAG, now=lambda: world.time
        )

    def view(self, table: Table, consistency: Consistency) -> Overlay:
        """Return older versions of the items whose recent writes a read misses."""
        if consistency is Consistency.CONSISTENT:
            return {}
        kind = self._world.pick("how stale a read is", 8)
        if kind < 4:
            return {}
        overlay = self._recent.overlay(table, lambda age, key: _sees(kind, age, key))
        self._world.figures["stale reads"] += bool(overlay)
        return overlay


def _sees(kind: int, age: int, key: Key) -> bool:
    """Return whether a stale read sees a write.

    Kind 4 misses the last write, kind 5 all recent ones, and kinds 6 and 7 those of half the items.
    `age` counts newer writes: it is 0 for the last one.
    """
    match kind:
        case 4:
            return age > 0
        case 5:
            return False
    return crc32(repr(key).encode()) % 2 == kind % 2
