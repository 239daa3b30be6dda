"""Let a transaction become visible item by item, as DynamoDB does. Moto shows all items at once.

Until a transaction has settled, a read of one of its items may return the item as it was before,
even if the read is consistent. A write of such an item is refused as a conflict.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from job_runners.testing import moto_direct
from job_runners.testing.simulation.faults import Fault
from job_runners.testing.simulation.simulated_lambda import SimulatedLambda

_Item = dict[str, Any]  # in DynamoDB's own form; empty if it doesn't exist
_ODDS = 6


class TornTransactions:
    """The items of a world's transactions that have landed and not settled, as they were before."""

    def __init__(self, world: SimulatedLambda) -> None:
        self._world = world
        self._before: dict[tuple[str, str], _Item] = {}  # by table and key

    @contextmanager
    def settling(self, operation: str, body: bytes) -> Iterator[None]:
        """Perhaps let other invocations run after the transaction that lands in this block."""
        images: dict[tuple[str, str], _Item] = {}
        may_start = operation == "TransactWriteItems" and 0 < len(self._world.stack) < 3
        if may_start and self._world.fault(Fault.TORN, "a transaction settles late", _ODDS):
            images = dict(self._images(json.loads(body)))
        yield
        if images:
            self._world.figures["transactions read item by item"] += 1
            self._before |= images
            try:
                for _ in range(1 + self._world.pick("how much happens before it settles", 3)):
                    self._world.step()
            finally:
                for key in images:
                    self._before.pop(key, None)
            self._world.check_alive("after a transaction")

    def refuses(self, operation: str, body: bytes) -> bool:
        """Return whether a write conflicts with a transaction that hasn't settled."""
        if not self._before or operation in ("GetItem", "BatchGetItem", "Query"):
            return False
        return any(key in self._before for key in _keys(operation, json.loads(body)))

    def seen(self, operation: str, body: bytes, answer: dict[str, Any]) -> dict[str, Any]:
        """Return the answer of a read, perhaps with items as they were before a transaction."""
        call = json.loads(body)
        match operation:
            case "GetItem":
                for key in filter(self._sees_before, _keys(operation, call)):
                    answer = {"Item": self._before[key]} if self._before[key] else {}
            case "BatchGetItem":
                for table, found in answer["Responses"].items():
                    answer["Responses"][table] = self._batch(table, call, found)
            case "Query" if "IndexName" not in call and call.get("Select") != "COUNT":
                answer = self._page(call, answer)
        return answer

    def _sees_before(self, key: tuple[str, str]) -> bool:
        return key in self._before and self._world.pick("it is seen as it was", 2) == 1

    def _batch(self, table: str, call: dict[str, Any], found: list[_Item]) -> list[_Item]:
        by_key = {_key(table, item): item for item in found}
        for asked in call["RequestItems"][table]["Keys"]:
            key = _key(table, asked)
            if self._sees_before(key):
                by_key[key] = self._before[key]
        return [item for item in by_key.values() if item]

    def _page(self, call: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        table, selects = call["TableName"], moto_direct.selects(call)
        by_key = {_key(table, item): item for item in answer["Items"]}
        for key in [each for each in self._before if each[0] == table]:
            names = json.loads(key[1])
            if selects(names["pk"]["S"], names["sk"]["S"]) and self._sees_before(key):
                by_key[key] = self._before[key]
        items = sorted((item for item in by_key.values() if item), key=lambda each: each["sk"]["S"])
        page = items[: call.get("Limit")]
        return answer | {"Items": page, "Count": len(page), "ScannedCount": len(page)}

    def _images(self, call: dict[str, Any]) -> Iterator[tuple[tuple[str, str], _Item]]:
        for key in _keys("TransactWriteItems", call):
            yield key, moto_direct.stored(key[0], json.loads(key[1]))


def _keys(operation: str, call: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the table and the key of each item that a call writes or reads."""
    if operation == "TransactWriteItems":
        for each in call["TransactItems"]:
            for how, write in each.items():
                if how != "ConditionCheck":
                    yield _key(write["TableName"], write.get("Key") or write["Item"])
    elif "TableName" in call and ("Key" in call or "Item" in call):
        yield _key(call["TableName"], call.get("Key") or call["Item"])


def _key(table: str, item: _Item) -> tuple[str, str]:
    return table, json.dumps({name: item[name] for name in moto_direct.KEYS[table]})
