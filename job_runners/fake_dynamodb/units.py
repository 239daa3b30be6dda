"""What requests cost in DynamoDB's units, by its documentation."""

from typing import TYPE_CHECKING, Any

from job_runners.fake_dynamodb.expressions import Attributes, Value

if TYPE_CHECKING:
    from job_runners.fake_dynamodb.database import Write


def size(attributes: Attributes) -> int:
    """Return the bytes of an item."""
    return sum(len(name.encode()) + _value_size(value) for name, value in attributes.items())


def read_units(size_read: int, *, consistent: bool) -> float:
    """Return the units of a read of so many bytes: of one item, or of all that a query examines."""
    units = max(1, -(-size_read // 4096))
    return units if consistent else units / 2


def write_units(write: "Write") -> int:
    """Return the units of a write: the table's, and those of the indexes, which follow later.

    A transaction pays twice for the table. An index pays for each entry that it loses or gains.
    """
    sizes = [item.size if item else 0 for item in (write.before, write.after)]
    units = max(1, -(-max(sizes) // 1024)) * (2 if write.in_transaction else 1)
    for index in write.table.indexes.values():
        old, new = (
            write.table.entry(index, write.key, item) for item in (write.before, write.after)
        )
        if old != new:
            units += (old is not None) + (new is not None)
    return units


def _value_size(value: Value) -> int:
    ((kind, content),) = value.items()
    match kind:
        case "N":
            return len(content.strip("-0.")) // 2 + 2
        case "BOOL" | "NULL":
            return 1
        case "L":
            return 3 + sum(1 + _value_size(each) for each in content)
        case "M":
            return 3 + len(content) + size(content)
        case "SS" | "NS" | "BS":
            return sum(_value_size({kind[0]: each}) for each in content)
    return _length(content)


def _length(content: Any) -> int:
    return len(content.encode() if isinstance(content, str) else content)
