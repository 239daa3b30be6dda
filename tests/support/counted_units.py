"""Requests to DynamoDB, and the units that they cost."""

from collections import Counter
from typing import Any

from job_runners.aws import clients
from job_runners.fake_dynamodb.behind_moto import database
from job_runners.fake_dynamodb.database import Read, Write
from job_runners.fake_dynamodb.tables import Item


def units_between(before: dict[str, Any], after: dict[str, Any]) -> int:
    """Return the units of one write to a job's row, from the item before and after it."""
    table = database().find_table("jobs")
    old, new = (Item(each) if each else None for each in (before, after))
    key = table.key_of(after)
    return write_units(Write(table, key, old, new, in_transaction=False))


class Units:
    """The units of all requests from now on."""

    def __init__(self) -> None:
        self.counted = 0
        self.of_lines = 0  # of those, the ones in partitions of lines
        self.reads = 0  # GetItem and Query
        self._requests: Counter[str] = Counter()
        self._units: Counter[str] = Counter()  # "read" and "write"
        database().on_write.append(self._wrote)
        database().on_read.append(self._read)
        clients.client("dynamodb").meta.events.register("before-call.dynamodb", self._requested)

    def _requested(self, model: Any, **_: Any) -> None:
        self._requests[model.name] += 1
        self.reads += model.name in ("GetItem", "Query")

    def _wrote(self, write: Write) -> None:
        units = write_units(write)
        self.counted += units
        self._units["write"] += units
        if str(write.key[0]).startswith("line#"):
            self.of_lines += units

    def _read(self, read: Read) -> None:
        self._units["read"] += read_units(read.size, consistent=read.consistent)  # type: ignore[assignment] # halves

    def spent(self) -> int:
        """Return the write units since the last call."""
        counted, self.counted = self.counted, 0
        return counted

    def costs(self) -> tuple[dict[str, int], dict[str, float]]:
        """Return the requests by operation, and the units, since this was asked last."""
        found = dict(self._requests), dict[str, float](self._units)
        self._requests.clear()
        self._units.clear()
        return found


def write_units(write: Write) -> int:
    """Return the units of a write: the table's, and those of the indexes, which follow later.

    A transaction pays twice for the table. An index pays for each entry that it loses or gains.
    """
    sizes = [item.size if item else 0 for item in (write.before, write.after)]
    units = max(1, -(-max(sizes) // 1024)) * (2 if write.in_transaction else 1)
    for index in write.table.indexes.values():
        old, new = (
            write.table.position(index, write.key, item) for item in (write.before, write.after)
        )
        if old != new:
            units += (old is not None) + (new is not None)
    return units


def read_units(size_read: int, *, consistent: bool) -> float:
    """Return the units of a read of so many bytes: of one item, or of all that a query examines."""
    units = max(1, -(-size_read // 4096))
    return units if consistent else units / 2
