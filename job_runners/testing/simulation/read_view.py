"""How reads see the tables: recent writes perhaps not at all."""

from zlib import crc32

from job_runners import clock
from job_runners.fake_dynamodb.behind_moto import database
from job_runners.fake_dynamodb.database import Consistency
from job_runners.fake_dynamodb.stale import RecentWrites
from job_runners.fake_dynamodb.tables import Key, Overlay, Table
from job_runners.testing.simulation.simulated_lambda import SimulatedLambda

_MOST = 12  # writes that a read may miss
_LONGEST = 2 * clock.MINUTE  # how late a read may see a write


class ReadView:
    """Decides what the reads of a world see."""

    def __init__(self, world: SimulatedLambda) -> None:
        self._world = world
        self._recent = RecentWrites(
            database(), most=_MOST, longest=_LONGEST, now=lambda: world.time
        )

    def view(self, table: Table, consistency: Consistency) -> Overlay:
        """Return the items of a table that a read doesn't see as they are."""
        if consistency is Consistency.CONSISTENT:
            return {}
        kind = self._world.pick("how stale a read is", 8)
        if kind < 4:
            return {}
        overlay = self._recent.before_them(table, lambda age, key: _sees(kind, age, key))
        self._world.figures["stale reads"] += bool(overlay)
        return overlay


def _sees(kind: int, age: int, key: Key) -> bool:
    """Return whether a stale read sees a write: it may miss the last one, all, or those of some
    items."""
    match kind:
        case 4:
            return age > 0
        case 5:
            return False
    return crc32(repr(key).encode()) % 2 == kind % 2
