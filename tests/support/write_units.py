"""What a write costs in DynamoDB's units, by its documentation, from an item before and after."""

from typing import Any

Item = dict[str, Any]
"""An item in DynamoDB's own form; empty if there is none."""

INDEXES = {
    "by_organization": ("organization_id", "created_key"),
    "due": ("due_shard", "due_at"),
    "failed": ("failed_organization", "failed_key"),
    "unfinished": ("unfinished_organization", "created_key"),
}


def size(item: Item) -> int:
    """Return the bytes of an item."""
    return sum(len(name.encode()) + _value_size(value) for name, value in item.items())


def write_units(before: Item, after: Item, *, in_transaction: bool = False) -> int:
    """Return the table's units, twice in a transaction, and each index's, which follow later: a key
    that changes is deleted and put."""
    units = -(-max(size(before), size(after)) // 1024) * (2 if in_transaction else 1)
    for names in INDEXES.values():
        old, new = ([item.get(name) for name in names] for item in (before, after))
        if old != new:
            units += (None not in old) + (None not in new)
    return units


def _value_size(value: dict[str, Any]) -> int:
    ((kind, content),) = value.items()
    if kind == "N":
        return len(content.strip("-0.")) // 2 + 2
    if kind in ("BOOL", "NULL"):
        return 1
    return len(content.encode() if isinstance(content, str) else content)
