"""Write units of what is sent to DynamoDB, counted at the boundary."""

import json
from typing import Any

from job_runners.aws import clients
from job_runners.testing import moto_direct
from write_units import Item, write_units

_KEYS = {"jobs": ("id",), "coordination": ("pk", "sk")}


class Units:
    """The write units of every request: an item that a transaction writes counts twice, the entries
    of indexes, which follow later, once."""

    def __init__(self) -> None:
        self.counted = 0
        self.of_lines = 0  # of those, the ones in partitions of lines
        self.reads = 0
        self._before: list[tuple[str, Item, Item, bool]] = []
        events = clients.client("dynamodb").meta.events
        events.register("before-call.dynamodb", self._look)
        events.register("after-call.dynamodb", self._count)

    def _look(self, model: Any, params: dict[str, Any], **_: Any) -> None:
        call = json.loads(params["body"])
        if model.name in ("GetItem", "Query"):
            self.reads += 1
        if model.name == "TransactWriteItems":
            written = [write for each in call["TransactItems"] for write in each.items()]
            self._before = [self._read(w, True) for how, w in written if how != "ConditionCheck"]
            # To check an item costs what a write of it does, if it is small or not there.
            self.counted += 2 * (len(written) - len(self._before))
        elif model.name in ("PutItem", "UpdateItem", "DeleteItem"):
            self._before = [self._read(call, False)]
        else:
            self._before = []

    def _read(self, write: Item, in_transaction: bool) -> tuple[str, Item, Item, bool]:
        table = write["TableName"]
        whole = write.get("Key") or write["Item"]
        key = {name: whole[name] for name in _KEYS[table]}
        return table, key, moto_direct.stored(table, key), in_transaction

    def _count(self, **_: Any) -> None:
        for table, key, before, in_transaction in self._before:
            after = moto_direct.stored(table, key)
            units = write_units(before, after, in_transaction=in_transaction)
            self.counted += units
            if str(key.get("pk", {}).get("S", "")).startswith("line#"):
                self.of_lines += units
        self._before = []

    def spent(self) -> int:
        """Return the units since the last call."""
        counted, self.counted = self.counted, 0
        return counted
