"""A table: its items by key, and the sorted entries of its partitions and indexes."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Mapping
from decimal import Decimal
from functools import cached_property
from operator import itemgetter
from typing import Any, NamedTuple

from job_runners.fake_dynamodb.expressions import Attributes, Unsupported, Value
from job_runners.fake_dynamodb.units import size

Key = tuple[Any, ...]
"""The values of a table's key attributes: its partition, and its sort key if it has one."""
Entry = tuple[Any, ...]
"""What a partition sorts an item by: its sort key, and in an index then the table's key."""

_FIRST = itemgetter(0)


class Item:
    """An item as it was after one write. It never changes: the next write makes a new one."""

    def __init__(self, attributes: Attributes) -> None:
        self.attributes = attributes

    @cached_property
    def size(self) -> int:
        """Return the bytes of the item."""
        return size(self.attributes)

    @cached_property
    def plain(self) -> dict[str, Any]:
        """Return the item as text, integers and bytes. Don't change it."""
        return {name: _plain(value) for name, value in self.attributes.items()}


class Range(NamedTuple):
    """The sort keys that a query selects. See `expressions.KeyCondition`."""

    comparison: str
    bounds: tuple[Any, ...]


Overlay = Mapping[Key, Item | None]
"""Older versions of items, which a stale read sees. None stands for an item that didn't exist."""


class Partitions:
    """The partitions of a table or of one of its indexes, each with its entries in order."""

    def __init__(
        self, hash_name: str, range_name: str | None, projected: frozenset[str] | None
    ) -> None:
        self.hash_name = hash_name
        self.range_name = range_name
        self.projected = projected  # None: all attributes
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

    def of(self, partition: Any) -> list[Entry]:
        """Return the entries of a partition, in order. Don't change them."""
        return self._entries.get(partition, [])


class Table:
    """A table with its items.

    `keys` names one or two key attributes, as does each index. `kinds` has the types of all key
    attributes.
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
        range_name = keys[1] if len(keys) > 1 else None
        self.partitions = Partitions(keys[0], range_name, None)
        self.indexes = {
            index: Partitions(names[0], names[1] if len(names) > 1 else None, projected)
            for index, (names, projected) in indexes.items()
        }

    def key_of(self, attributes: Attributes) -> Key:
        """Return the key of an item. Raises Unsupported if it isn't a valid one."""
        try:
            return tuple(self.plain(name, attributes[name]) for name in self.keys)
        except KeyError:
            raise Unsupported from None

    def plain(self, name: str, value: Value) -> Any:
        """Return the value of a key attribute in a form that can be sorted.

        Raises Unsupported if it is empty or has another type.
        """
        content = value.get(self.kinds[name])
        if not content:
            raise Unsupported
        if self.kinds[name] == "N":
            number = Decimal(content)
            return int(number) if number == int(number) else number
        return content

    def put(self, key: Key, item: Item) -> Item | None:
        """Put an item. Return the one that it replaces, or None."""
        before = self.items.get(key)
        self.items[key] = item
        if before is None:
            self.partitions.add(key[0], key[1:])
        self._index(key, before, item)
        return before

    def delete(self, key: Key) -> Item | None:
        """Delete an item. Return it, or None if there was none."""
        before = self.items.pop(key, None)
        if before is not None:
            self.partitions.remove(key[0], key[1:])
            self._index(key, before, None)
        return before

    def _index(self, key: Key, before: Item | None, after: Item | None) -> None:
        for index in self.indexes.values():
            old = self.entry(index, key, before)
            new = self.entry(index, key, after)
            if old != new:
                if old is not None:
                    index.remove(*old)
                if new is not None:
                    index.add(*new)

    def entry(self, index: Partitions, key: Key, item: Item | None) -> tuple[Any, Entry] | None:
        """Return the partition and the entry of an item in an index, or None if it isn't in it."""
        if item is None:
            return None
        if index is self.partitions:
            return key[0], key[1:]
        values = []
        for name in (index.hash_name, index.range_name):
            if name is not None:
                value = item.attributes.get(name)
                if value is None or self.kinds[name] not in value:
                    return None
                values.append(self.plain(name, value))
        partition, *sort_key = values
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
        """Return the items of a partition that a query selects, in order, and whether there are
        more.

        `after` is the entry of the last item on the previous page. `limit` is a number of items.
        """
        entries = self._entries(index, partition, overlay)
        first, end = _bounds(entries, key_range) if key_range else (0, len(entries))
        if after is not None and forward:
            first = max(first, bisect_right(entries, after))
        elif after is not None:
            end = min(end, bisect_left(entries, after))
        if limit is not None and limit < end - first:
            if forward:
                end = first + limit
            else:
                first = end - limit
        items = self._items(index, partition, entries[first:end], overlay)
        if forward:
            return items, end < len(entries)
        return items[::-1], first > 0

    def _items(
        self, index: Partitions, partition: Any, entries: list[Entry], overlay: Overlay
    ) -> list[Item]:
        keys = [self._key(index, partition, entry) for entry in entries]
        if not overlay:
            return [self.items[key] for key in keys]
        items = (overlay[key] if key in overlay else self.items[key] for key in keys)
        return [item for item in items if item is not None]

    def _entries(self, index: Partitions, partition: Any, overlay: Overlay) -> list[Entry]:
        entries = index.of(partition)
        if not overlay:
            return entries
        visible = [entry for entry in entries if self._key(index, partition, entry) not in overlay]
        for key, item in overlay.items():
            position = self.entry(index, key, item)
            if position is not None and position[0] == partition:
                visible.append(position[1])
        return sorted(visible)

    def _key(self, index: Partitions, partition: Any, entry: Entry) -> Key:
        if index is self.partitions:
            return (partition, *entry)
        return entry[-len(self.keys) :]


def _bounds(entries: list[Entry], key_range: Range) -> tuple[int, int]:
    """Return the positions of the first entry that is in a range, and of the first one after it."""
    low, high = key_range.bounds[0], key_range.bounds[-1]
    match key_range.comparison:
        case "<":
            return 0, bisect_left(entries, high, key=_FIRST)
        case "<=":
            return 0, bisect_right(entries, high, key=_FIRST)
        case ">":
            return bisect_right(entries, low, key=_FIRST), len(entries)
        case ">=":
            return bisect_left(entries, low, key=_FIRST), len(entries)
        case "begins_with":
            start = bisect_left(entries, low, key=_FIRST)
            end = bisect_right(entries, low, start, key=lambda entry: entry[0][: len(low)])
            return start, end
    return bisect_left(entries, low, key=_FIRST), bisect_right(entries, high, key=_FIRST)


def _plain(value: Value) -> Any:
    ((kind, content),) = value.items()
    return int(content) if kind == "N" else content
