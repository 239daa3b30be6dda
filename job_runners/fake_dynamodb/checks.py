"""Check requests. If DynamoDB might refuse one, raise Unsupported, so that moto decides."""

import re
from typing import Any

from job_runners.fake_dynamodb.expressions import Attributes, Unsupported, Value
from job_runners.fake_dynamodb.tables import Item, Key, Partitions, Table

Call = dict[str, Any]
"""The parameters of a request."""

_MAX_ITEM_SIZE = 400_000  # bytes
_NUMBER = re.compile(r"-?\d{1,19}(\.\d{1,18})?")
_MAX_KEY_SIZES = (2048, 1024)  # bytes of a partition key and of a sort key
_EXPRESSIONS = {"ExpressionAttributeNames", "ExpressionAttributeValues"}
_WRITE = {"TableName", "ConditionExpression", "ReturnValuesOnConditionCheckFailure", *_EXPRESSIONS}
_PARAMETERS = {
    "GetItem": {"TableName", "Key", "ConsistentRead", "ProjectionExpression", *_EXPRESSIONS},
    "BatchGetItem": {"RequestItems"},
    "Query": {
        *("TableName", "IndexName", "KeyConditionExpression", "FilterExpression", "Limit"),
        *("ProjectionExpression", "ExclusiveStartKey", "ScanIndexForward", "Select"),
        *("ConsistentRead", *_EXPRESSIONS),
    },
    "PutItem": {"Item", "ReturnValues", *_WRITE},
    "UpdateItem": {"Key", "UpdateExpression", "ReturnValues", *_WRITE},
    "DeleteItem": {"Key", "ReturnValues", *_WRITE},
    "BatchWriteItem": {"RequestItems"},
    "TransactWriteItems": {"TransactItems", "ClientRequestToken"},
    "Put": {"Item", *_WRITE},
    "Update": {"Key", "UpdateExpression", *_WRITE},
    "Delete": {"Key", *_WRITE},
    "ConditionCheck": {"Key", *_WRITE},
}


class RequestRefused(Exception):
    """DynamoDB's refusal of a request: its code, its message and its further fields."""

    def __init__(self, code: str, message: str, **fields: Any) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.fields = fields


def check_parameters(operation: str, call: Call) -> None:
    if not call.keys() <= _PARAMETERS[operation]:
        raise Unsupported
    for name in _EXPRESSIONS & call.keys():
        if not call[name]:
            raise Unsupported  # DynamoDB refuses empty ones


def check_placeholders(call: Call, *expressions: Any) -> None:
    """Raise Unsupported for a call with placeholders that are missing or unused."""
    names: set[str] = set()
    values: set[str] = set()
    for expression in expressions:
        if expression is not None:
            names |= expression.names
            values |= expression.values
    if set(call.get("ExpressionAttributeNames", ())) != names:
        raise Unsupported
    if set(call.get("ExpressionAttributeValues", ())) != values:
        raise Unsupported


def exact_key(table: Table, attributes: Attributes) -> Key:
    if len(attributes) != len(table.keys):
        raise Unsupported
    return table.key_of(attributes)


def checked_item(table: Table, key: Key, attributes: Attributes) -> Item:
    """Return an item that DynamoDB accepts. Raises Unsupported."""
    for part, max_size in zip(key, _MAX_KEY_SIZES, strict=False):
        # A character has up to four bytes. If the size is in doubt, moto decides.
        if isinstance(part, str | bytes) and len(part) > max_size // 4:
            raise Unsupported
    for value in attributes.values():
        _check_value(value)
    for index in table.indexes.values():
        _check_index_key(table, index, attributes)
    item = Item(attributes)
    if item.size > _MAX_ITEM_SIZE:
        raise Unsupported
    return item


def _check_index_key(table: Table, index: Partitions, attributes: Attributes) -> None:
    for name in (index.hash_name, index.range_name):
        value = attributes.get(name) if name is not None else None
        if value is not None and not value.get(table.kinds[str(name)]):
            raise Unsupported  # empty, or of another type


def _check_value(value: Value) -> None:
    if len(value) != 1:
        raise Unsupported
    ((kind, content),) = value.items()
    match kind, content:
        case ("S", str()) | ("B", bytes()) | ("BOOL", bool()) | ("NULL", True):
            return
        case "N", str() if _NUMBER.fullmatch(content):
            return
        case "L", list():
            for inner_value in content:
                _check_value(inner_value)
        case "M", dict():
            for inner_value in content.values():
                _check_value(inner_value)
        case (("SS" | "NS" | "BS"), [_, *_]) if len(set(content)) == len(content):
            return
        case _:
            raise Unsupported
