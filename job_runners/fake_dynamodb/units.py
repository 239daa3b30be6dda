"""Compute the sizes of items as DynamoDB's documentation defines them."""

from job_runners.fake_dynamodb.expressions import Attributes, Value


def size(attributes: Attributes) -> int:
    """Return the size of an item in bytes."""
    return sum(len(name.encode()) + _value_size(value) for name, value in attributes.items())


def _value_size(value: Value) -> int:
    ((kind, content),) = value.items()  # such as {"S": "text"}
    match kind:
        case "N":
            return len(content.strip("-0.")) // 2 + 2  # about one byte for two digits
        case "BOOL" | "NULL":
            return 1
        case "L":
            return 3 + sum(1 + _value_size(item) for item in content)
        case "M":
            return 3 + len(content) + size(content)
        case "SS" | "NS" | "BS":
            return sum(_value_size({kind[0]: member}) for member in content)
        case "S":
            return len(content.encode())
    return len(content)  # bytes
