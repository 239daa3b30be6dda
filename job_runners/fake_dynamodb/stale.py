"""Let reads miss recent writes, as eventually consistent reads of DynamoDB can."""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from job_runners.fake_dynamodb.database import Database, Write
from job_runners.fake_dynamodb.tables import Item, Key, Overlay, Table


class _RecentWrite(NamedTuple):
    write: Write
    at: int  # milliseconds since 1970


class RecentWrites:
    """The last `max_writes` writes of a database, none older than `max_age` milliseconds."""

    def __init__(
        self, database: Database, *, max_writes: int, max_age: int, now: Callable[[], int]
    ) -> None:
        self._now = now
        self._max_age = max_age
        self._writes: deque[_RecentWrite] = deque(maxlen=max_writes)
        database.on_write.append(self._add)

    def forget(self) -> None:
        """Let all reads see what was written so far."""
        self._writes.clear()

    def _add(self, write: Write) -> None:
        if write.after is not write.before:
            self._writes.append(_RecentWrite(write, self._now()))

    def overlay(
        self, table: Table, sees: Callable[[int, Key], bool] = lambda age, key: False
    ) -> Overlay:
        """Return a table's items as they were before its recent writes.

        `sees` takes the number of newer writes to the table, and the key of the written item. It
        returns whether the read sees this write and all earlier ones of the item.
        """
        oldest = self._now() - self._max_age
        overlay: dict[Key, Item | None] = {}
        done: set[Key] = set()  # items whose earlier writes are seen
        writes = [recent for recent in reversed(self._writes) if recent.write.table is table]
        for age, (write, at) in enumerate(writes):
            if at < oldest:
                break
            if write.key in done:
                continue
            if sees(age, write.key):
                done.add(write.key)
            else:
                overlay[write.key] = write.before
        return overlay
