"""Let a transaction become visible item by item, as DynamoDB does.

Until a transaction has settled, a read of one of its items may return the item as it was before,
even if the read is consistent. A write of such an item is refused as a conflict.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from histories.faults import Fault
from histories.hostile_lambda import HostileLambda
from job_runners.fake_dynamodb.behind_moto import database, items_named
from job_runners.fake_dynamodb.checks import Call
from job_runners.fake_dynamodb.tables import Item, Key, Overlay, Table

_ODDS = 6
_READS = ("GetItem", "BatchGetItem", "Query")


class TornTransactions:
    """The items of a world's transactions that have landed and not settled, as they were before."""

    def __init__(self, world: HostileLambda) -> None:
        self._world = world
        self._before: dict[tuple[str, Key], Item | None] = {}  # by table and key

    @contextmanager
    def settling(self, operation: str, call: Call) -> Iterator[None]:
        """Perhaps let other invocations run after the transaction that lands in this block."""
        images: dict[tuple[str, Key], Item | None] = {}
        may_start = operation == "TransactWriteItems" and 0 < len(self._world.stack) < 3
        if may_start and self._world.fault(Fault.TORN, "a transaction settles late", _ODDS):
            images = {
                (name, key): database().find_table(name).items.get(key)
                for name, key in _written(operation, call)
            }
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

    def refuses(self, operation: str, call: Call) -> bool:
        """Return whether a write conflicts with a transaction that hasn't settled."""
        if not self._before or operation in _READS:
            return False
        return any(each in self._before for each in _written(operation, call))

    def seen(self, table: Table) -> Overlay:
        """Return the items of a table that a read sees as they were before a transaction."""
        return {
            key: before
            for (name, key), before in self._before.items()
            if name == table.name and self._world.pick("it is seen as it was", 2) == 1
        }


def _written(operation: str, call: Call) -> Iterator[tuple[str, Key]]:
    """Yield the table and the key of each item that a call writes."""
    if operation == "TransactWriteItems":
        items = [each for each in call["TransactItems"] if "ConditionCheck" not in each]
        call = {"TransactItems": items}
    for name, attributes in items_named(operation, call):
        yield name, database().find_table(name).key_of(attributes)
