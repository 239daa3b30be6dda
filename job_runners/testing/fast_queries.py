"""Give moto's queries only the items that they may return.

moto sorts all items of a table for each query. So the time of a query grows with the table, and a
group of 100,000 jobs would take days. tests/testing/test_fast_moto.py compares each answer with
moto's own.
"""

from bisect import bisect_left, bisect_right, insort
from copy import copy
from itertools import takewhile
from typing import Any

from moto.dynamodb.models.dynamo_type import DynamoType
from moto.dynamodb.models.table import Table

_LARGE = 100  # items of a partition that are kept in order

# The original, before anything is patched.
_QUERY: Any = Table.query


class _Ordered(dict[DynamoType, Any]):
    """The items of a partition, with their sort keys in order."""

    def __init__(self, items: dict[DynamoType, Any]) -> None:
        super().__init__(items)
        self.order: list[str] = sorted(key.value for key in items)

    def __setitem__(self, key: DynamoType, item: Any) -> None:
        if key not in self:
            insort(self.order, key.value)
        super().__setitem__(key, item)

    def pop(self, key: DynamoType, *default: Any) -> Any:
        if key in self:
            del self.order[bisect_left(self.order, key.value)]
        return super().pop(key, *default)

    def __reduce__(self) -> Any:  # for moto's copies of tables
        return type(self), (dict(self),)

    def first(self, prefix: str, after: str | None, limit: int | None) -> dict[DynamoType, Any]:
        """Return the items whose sort keys have a prefix and come after another key.

        With a limit, return as many and one more. moto then knows that there are more.
        """
        begin = bisect_left(self.order, prefix)
        if after is not None:
            begin = max(begin, bisect_right(self.order, after))
        if limit:
            found = self.order[begin : begin + limit + 1]
        else:
            found = list(takewhile(lambda key: key.startswith(prefix), self.order[begin:]))
        return {key: self[key] for key in (DynamoType({"S": each}) for each in found)}


def query(
    table: Any,
    hash_key: DynamoType,
    comparison: str | None,
    values: list[DynamoType],
    limit: int | None,
    start: dict[str, Any] | None,
    forward: bool,
    projection: Any,
    index_name: str | None,
    *rest: Any,
    **named: Any,
) -> Any:
    """Query a table. If the query needs no index, show moto only the items that may match."""
    if index_name is None and table.range_key_attr:
        items = table.items.get(hash_key, {})
        if len(items) > _LARGE and table.range_key_type == "S" and type(items) is not _Ordered:
            items = table.items[hash_key] = _Ordered(items)
        if type(items) is _Ordered and comparison == "BEGINS_WITH" and forward:
            after = start[table.range_key_attr]["S"] if start else None
            items = items.first(values[0].value, after, limit)
        table = copy(table)
        table.items = {hash_key: items}
    given = (hash_key, comparison, values, limit, start, forward, projection, index_name)
    return _QUERY(table, *given, *rest, **named)
