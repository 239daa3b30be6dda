"""Check requests. If DynamoDB might refuse a request, raise Unsupported, so that moto decides.

The checks may be stricter than DynamoDB's, because moto handles any request that they reject.
"""

import re
from typing import Any

from job_runners.fake_dynamodb.expressions import Attributes, Unsupported, Value
from job_runners.fake_dynamodb.tables import Item, Key, Partitions, Table

Call = dict[str, Any]
"""The parameters of a request."""

_MAX_ITEM_SIZE = 400_000  # bytes
# DynamoDB accepts more numbers, which moto handles.
_COMMON_NUMBER = re.compile(r"-?\d{1,19}(\.\d{1,18})?")
_MAX_KEY_SIZES = (2048, 1024)  # bytes of the partition key and of the sort key
_PLACEHOLDERS = {"ExpressionAttributeNames", "ExpressionAttributeValues"}
_WRITE = {
    *("TableName", "ConditionExpression", "ReturnValuesOnConditionCheckFailure"),
    *_PLACEHOLDERS,
}
_PARAMETERS = {
    "GetItem": {"TableName", "Key", "ConsistentRead", "ProjectionExpression", *_PLACEHOLDERS},
    "BatchGetItem": {"RequestItems"},
    "Query": {
        *("TableName", "IndexName", "KeyConditionExpression", "FilterExpression", "Limit"),
        *("ProjectionExpression", "ExclusiveStartKey", "ScanIndexForward", "Select"),
        *("ConsistentRead", *_PLACEHOLDERS),
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
    """DynamoDB would refuse the request, with this code, this message and these other fields."""

    def __init__(self, code: str, message: str, **more_fields: Any) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.more_fields = more_fields


def check_parameters(operation: str, call: Call) -> None:
    """Raise Unsupported for a call with parameters that the database doesn't handle."""
    if not call.keys() <= _PARAMETERS[operation]:
        raise Unsupported
    if not all(call[name] for name in _PLACEHOLDERS & call.keys()):
        raise Unsupported  # DynamoDB refuses empty placeholders


def check_placeholders(call: Call, *expressions: Any) -> None:
    """Raise Unsupported unless the call's expressions use exactly the placeholders that it
    defines."""
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
    """Return the key. Raises Unsupported if there are attributes other than the key's."""
    if len(attributes) != len(table.keys):
        raise Unsupported
    return table.key_of(attributes)


def build_item(table: Table, key: Key, attributes: Attributes) -> Item:
    """Return an item with these attributes. Raises Unsupported if DynamoDB might refuse it."""
    for key_value, max_size in zip(key, _MAX_KEY_SIZES, strict=False):
        # A character has up to four bytes. Moto decides if the key might be too long.
        if isinstance(key_value, str | bytes) and len(key_value) > max_size // 4:
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
    """Raise Unsupported if a key attribute of the index is empty or has a wrong type."""
    for name in (index.hash_name, index.range_name):
        if name is not None and name in attributes:
            value = attributes[name].get(table.kinds[name])
            if not value:  # it is empty, or has another type
                raise Unsupported


def _check_value(value: Value) -> None:
    if len(value) != 1:
        raise Unsupported
    ((kind, content),) = value.items()  # such as {"S": "text"}
    match kind, content:
        case ("S", str()) | ("B", bytes()) | ("BOOL", bool()) | ("NULL", True):
            return
        case "N", str() if _COMMON_NUMBER.fullmatch(content):
            return
        case "L", list():
            for inner_value in content:
                _check_value(inner_value)
        case "M", dict():
            for inner_value in content.values():
                _check_value(inner_value)
        case (("SS" | "NS" | "BS"), [_, *_]) if len(set(content)) == len(content):
            return  # a set that isn't empty and has no duplicates
        case _:
            raise Unsupported
