"""Requests to DynamoDB, and the units that they cost."""

from collections import Counter
from typing import Any

from job_runners.aws import clients
from job_runners.fake_dynamodb.behind_moto import database
from job_runners.fake_dynamodb.database import Read, Write, write_units
from job_runners.fake_dynamodb.tables import Item
from job_runners.fake_dynamodb.units import read_units


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
