"""Let reads miss recent writes, as DynamoDB's eventually consistent reads can.

An overlay has the older versions of the items whose recent writes a read misses.
"""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from job_runners.fake_dynamodb.database import Database, Write
from job_runners.fake_dynamodb.tables import Item, Key, Overlay, Table


class _RecentWrite(NamedTuple):
    write: Write
    at: int  # milliseconds since 1970


class RecentWrites:
    """The last `max_writes` writes of a database. Overlays ignore writes that are older than
    `max_age` milliseconds."""

    def __init__(
        self, database: Database, *, max_writes: int, max_age: int, now: Callable[[], int]
    ) -> None:
        self._now = now
        self._max_age = max_age
        self._writes: deque[_RecentWrite] = deque(maxlen=max_writes)
        database.on_write.append(self._add)

    def forget(self) -> None:
        """Forget the writes, so that all reads see them."""
        self._writes.clear()

    def _add(self, write: Write) -> None:
        if write.after is not write.before:
            self._writes.append(_RecentWrite(write, self._now()))

    def overlay(
        self, table: Table, sees: Callable[[int, Key], bool] = lambda newer_count, key: False
    ) -> Overlay:
        """Return the older versions of items, as they were before the writes that a read misses.

        `sees` decides whether the read sees a write. If it does, it also sees all earlier writes of
        that item. `sees` takes the number of newer writes to the table, and the item's key. By
        default, a read misses all recent writes.
        """
        oldest = self._now() - self._max_age
        overlay: dict[Key, Item | None] = {}
        seen: set[Key] = set()
        newest_first = [recent for recent in reversed(self._writes) if recent.write.table is table]
        for newer_count, (write, at) in enumerate(newest_first):
            if at < oldest:
                break
            if write.key in seen:
                continue
            if sees(newer_count, write.key):
                seen.add(write.key)
            else:
                overlay[write.key] = write.before
        return overlay
