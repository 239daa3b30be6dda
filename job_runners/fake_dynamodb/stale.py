"""Reads that don't see the latest writes, as reads of DynamoDB that aren't consistent."""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from job_runners.fake_dynamodb.database import Database, Write
from job_runners.fake_dynamodb.tables import Item, Key, Overlay, Table


class _Landed(NamedTuple):
    write: Write
    at: int


class RecentWrites:
    """The recent writes of a database: at most `most`, none older than `longest` milliseconds."""

    def __init__(
        self, database: Database, *, most: int, longest: int, now: Callable[[], int]
    ) -> None:
        self._now = now
        self._longest = longest
        self._landed: deque[_Landed] = deque(maxlen=most)
        database.on_write.append(self._note)

    def forget(self) -> None:
        """Let all reads see what was written so far."""
        self._landed.clear()

    def _note(self, write: Write) -> None:
        if write.after is not write.before:
            self._landed.append(_Landed(write, self._now()))

    def before_them(
        self, table: Table, sees: Callable[[int, Key], bool] = lambda age, key: False
    ) -> Overlay:
        """Return a table's items as they were before its recent writes.

        `sees` takes the age of a write (0 is the latest) and the key of its item, and returns
        whether the read sees that write all the same, and with it all earlier ones of the item.
        """
        oldest = self._now() - self._longest
        overlay: dict[Key, Item | None] = {}
        seen: set[Key] = set()
        writes = (each for each in reversed(self._landed) if each.write.table is table)
        for age, (write, at) in enumerate(writes):
            if at < oldest:
                break
            if write.key not in seen and sees(age, write.key):
                seen.add(write.key)
            if write.key not in seen:
                overlay[write.key] = write.before
        return overlay
