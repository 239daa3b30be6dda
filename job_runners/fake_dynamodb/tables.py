"""The tables of the in-memory DynamoDB.

A table has its items by key. The table and each of its indexes also have partitions. A partition is
a sorted list of entries, and each entry leads to one item.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Mapping
from decimal import Decimal
from functools import cached_property
from operator import itemgetter
from typing import Any, NamedTuple

from job_runners.fake_dynamodb.expressions import Attributes, Unsupported, Value
from job_runners.fake_dynamodb.units import size

Key = tuple[Any, ...]
"""The values of an item's key attributes: the partition key and, in some tables, the sort key."""
Entry = tuple[Any, ...]
"""What a partition sorts an item by: its sort key and, in an index, also its key in the table."""

_SORT_KEY = itemgetter(0)


class Item:
    """One version of an item. It never changes, because each write creates a new Item."""

    def __init__(self, attributes: Attributes) -> None:
        self.attributes = attributes

    @cached_property
    def size(self) -> int:
        """Return the size of the item in bytes."""
        return size(self.attributes)

    @cached_property
    def plain(self) -> dict[str, Any]:
        """Return the item with text, integers and bytes as values. Don't change it."""
        return {name: _plain(value) for name, value in self.attributes.items()}


class Range(NamedTuple):
    """The sort keys that a query selects: a comparison, and one or two values to compare with."""

    comparison: str
    bounds: tuple[Any, ...]


Overlay = Mapping[Key, Item | None]
"""The older versions of items that a stale read sees. None means that the item didn't exist."""


class Partitions:
    """The partitions of a table or of one of its indexes, each with its entries in order."""

    def __init__(self, keys: tuple[str, ...], projected: frozenset[str] | None) -> None:
        self.hash_name = keys[0]
        self.range_name = keys[1] if len(keys) > 1 else None
        self.projected = projected  # the attributes that a query can read; None for all
        self._entries: dict[Any, list[Entry]] = {}

    def add(self, partition: Any, entry: Entry) -> None:
        """Add an entry, which must be new."""
        insort(self._entries.setdefault(partition, []), entry)

    def remove(self, partition: Any, entry: Entry) -> None:
        """Remove an entry, which must exist."""
        entries = self._entries[partition]
        del entries[bisect_left(entries, entry)]
        if not entries:
            del self._entries[partition]

    def entries(self, partition: Any) -> list[Entry]:
        """Return the entries of a partition, in order. Don't change them."""
        return self._entries.get(partition, [])


class Table:
    """A table with its items.

    `keys` has the names of the partition key and, in some tables, the sort key. `indexes` has the
    same for each index, and the attributes that a query of the index can read. `kinds` has the
    types of all key attributes, such as "S".
    """

    def __init__(
        self,
        name: str,
        keys: tuple[str, ...],
        kinds: Mapping[str, str],
        indexes: Mapping[str, tuple[tuple[str, ...], frozenset[str] | None]],
    ) -> None:
        self.name = name
        self.keys = keys
        self.kinds = kinds
        self.items: dict[Key, Item] = {}
        self.partitions = Partitions(keys, None)
        self.indexes = {
            index: Partitions(index_keys, projected)
            for index, (index_keys, projected) in indexes.items()
        }

    def key_of(self, attributes: Attributes) -> Key:
        """Return the key of an item. Raises Unsupported if it isn't valid."""
        try:
            return tuple(self.key_value(name, attributes[name]) for name in self.keys)
        except KeyError:
            raise Unsupported from None

    def key_value(self, name: str, value: Value) -> Any:
        """Return the value of a key attribute in a form that can be sorted.

        Raises Unsupported if the value is empty or has the wrong type.
        """
        content = value.get(self.kinds[name])
        if not content:
            raise Unsupported
        if self.kinds[name] == "N":
            number = Decimal(content)
            return int(number) if number == int(number) else number
        return content

    def put(self, key: Key, item: Item) -> Item | None:
        """Put an item. Return the item that it replaces, or None."""
        before = self.items.get(key)
        self.items[key] = item
        if before is None:
            self.partitions.add(key[0], key[1:])
        self._update_indexes(key, before, item)
        return before

    def delete(self, key: Key) -> Item | None:
        """Delete an item. Return it, or None if it didn't exist."""
        before = self.items.pop(key, None)
        if before is not None:
            self.partitions.remove(key[0], key[1:])
            self._update_indexes(key, before, None)
        return before

    def _update_indexes(self, key: Key, before: Item | None, after: Item | None) -> None:
        for index in self.indexes.values():
            old = self.position(index, key, before)
            new = self.position(index, key, after)
            if old == new:
                continue
            if old is not None:
                index.remove(*old)
            if new is not None:
                index.add(*new)

    def position(self, index: Partitions, key: Key, item: Item | None) -> tuple[Any, Entry] | None:
        """Return the partition and the entry of an item in an index, or None if it isn't there."""
        if item is None:
            return None
        if index is self.partitions:
            return key[0], key[1:]
        index_key = []
        for name in (index.hash_name, index.range_name):
            if name is not None:
                value = item.attributes.get(name)
                if value is None or self.kinds[name] not in value:
                    return None
                index_key.append(self.key_value(name, value))
        partition, *sort_key = index_key
        return partition, (*sort_key, *key)

    def select(
        self,
        index: Partitions,
        partition: Any,
        key_range: Range | None,
        *,
        after: Entry | None,
        forward: bool,
        limit: int | None,
        overlay: Overlay,
    ) -> tuple[list[Item], bool]:
        """Return the items that a query selects, in order, and whether the partition has more.

        `after` is the entry of the previous page's last item. `limit` is the maximum of items. The
        items are those between the list indexes `first` and `end`. A backward query takes its page
        from the end of the range.
        """
        entries = self._visible_entries(index, partition, overlay)
        first, end = _bounds(entries, key_range) if key_range else (0, len(entries))
        if forward:
            if after is not None:
                first = max(first, bisect_right(entries, after))
            if limit is not None:
                end = min(end, first + limit)
        else:
            if after is not None:
                end = min(end, bisect_left(entries, after))
            if limit is not None:
                first = max(first, end - limit)
        items = self._visible_items(index, partition, entries[first:end], overlay)
        if forward:
            return items, end < len(entries)
        return items[::-1], first > 0

    def _visible_items(
        self, index: Partitions, partition: Any, entries: list[Entry], overlay: Overlay
    ) -> list[Item]:
        keys = [self._key_of_entry(index, partition, entry) for entry in entries]
        if not overlay:
            return [self.items[key] for key in keys]
        items = (overlay[key] if key in overlay else self.items[key] for key in keys)
        return [item for item in items if item is not None]

    def _visible_entries(self, index: Partitions, partition: Any, overlay: Overlay) -> list[Entry]:
        """Return the entries of a partition, with the overlay's items at their older positions."""
        entries = index.entries(partition)
        if not overlay:
            return entries
        visible = [
            entry for entry in entries if self._key_of_entry(index, partition, entry) not in overlay
        ]
        for key, item in overlay.items():
            position = self.position(index, key, item)
            if position is not None and position[0] == partition:
                visible.append(position[1])
        return sorted(visible)

    def _key_of_entry(self, index: Partitions, partition: Any, entry: Entry) -> Key:
        if index is self.partitions:
            return (partition, *entry)
        return entry[-len(self.keys) :]  # in an index, an entry ends with the table's key


def _bounds(entries: list[Entry], key_range: Range) -> tuple[int, int]:
    """Return the list index of a range's first entry, and of the first entry after the range."""
    low, high = key_range.bounds[0], key_range.bounds[-1]
    match key_range.comparison:
        case "<":
            return 0, bisect_left(entries, high, key=_SORT_KEY)
        case "<=":
            return 0, bisect_right(entries, high, key=_SORT_KEY)
        case ">":
            return bisect_right(entries, low, key=_SORT_KEY), len(entries)
        case ">=":
            return bisect_left(entries, low, key=_SORT_KEY), len(entries)
        case "begins_with":
            start = bisect_left(entries, low, key=_SORT_KEY)
            # Compare only as many characters as the prefix has.
            end = bisect_right(entries, low, start, key=lambda entry: entry[0][: len(low)])
            return start, end
    return bisect_left(entries, low, key=_SORT_KEY), bisect_right(entries, high, key=_SORT_KEY)


def _plain(value: Value) -> Any:
    ((kind, content),) = value.items()
    return int(content) if kind == "N" else content
