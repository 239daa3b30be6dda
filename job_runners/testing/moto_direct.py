"""Answer calls to AWS directly from moto's tables and buckets. moto's HTTP layer, which takes most
of the time, is skipped.

Moto still evaluates conditions and updates. This module handles only the calls of the store's
verbs.
"""

import base64
import json
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

from botocore.awsrequest import AWSRequest
from moto.backends import get_backend
from moto.dynamodb.exceptions import (
    ConditionalCheckFailed,
    MockValidationException,
    TransactionCanceledException,
)
from moto.dynamodb.models.dynamo_type import DynamoType, Item
from moto.dynamodb.models.utilities import dynamo_to_dict

ACCOUNT = "123456789012"
REGION = "us-east-1"
KEYS = {"jobs": ("id",), "coordination": ("pk", "sk")}
_TABLES = KEYS.keys()  # tables of this project that only the verbs write

Row = dict[str, Any]
"""An item as it is stored, such as a JobRequest. It maps names to text, numbers or bytes."""


def create_table(
    name: str,
    attributes: list[dict[str, str]],
    keys: list[dict[str, str]],
    indexes: list[dict[str, Any]],
) -> None:
    """Create an on-demand table. The parts are those of a CreateTable request."""
    _tables().create_table(
        name,
        schema=keys,
        attr=attributes,
        global_indexes=indexes,
        billing_mode="PAY_PER_REQUEST",
        throughput=None,
        indexes=[],
        streams=None,
        sse_specification=None,
        tags=[],
        deletion_protection_enabled=False,
        warm_throughput=None,
    )


def create_bucket(name: str) -> None:
    """Create a bucket that keeps versions, as the template's does."""
    _buckets().create_bucket(name, REGION)
    _buckets().put_bucket_versioning(name, "Enabled")


def can_answer(request: AWSRequest) -> bool:
    """Return whether `answer` can answer a request. It can answer the verbs' calls on `_TABLES`."""
    name, call = _operation(request), json.loads(request.body)
    if name == "BatchGetItem":
        named = list(call["RequestItems"])
    elif name == "TransactWriteItems":
        named = [table for each in call["TransactItems"] for table in _named_tables(each)]
    else:
        named = [call.get("TableName")]
    if name not in _CALLS or not set(named) <= _TABLES:
        return False
    return name != "Query" or call.get("IndexName") == "due" or "IndexName" not in call


def _named_tables(item: dict[str, Any]) -> list[str]:
    return [operation["TableName"] for operation in item.values()]


def _operation(request: AWSRequest) -> str:
    target: Any = request.headers["X-Amz-Target"]
    text: str = target.decode() if isinstance(target, bytes) else target
    return text.rpartition(".")[2]


def answer(request: AWSRequest) -> tuple[int, dict[str, Any]]:
    """Return the status and body that answer a request."""
    call = _CALLS[_operation(request)]
    try:
        return 200, call(json.loads(request.body))
    except TransactionCanceledException as error:
        return 400, json.loads(error.description)
    except ConditionalCheckFailed:
        kind = "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException"
        return 400, {"__type": kind, "message": "The conditional request failed"}
    except MockValidationException as error:
        return 400, json.loads(error.description)


def refuse_reversed_bounds(call: dict[str, Any]) -> None:
    """Refuse a query whose lower bound is above its upper bound, as DynamoDB does.

    Moto returns an empty result.
    """
    found = re.search(r"BETWEEN (:\w+) AND (:\w+)", call.get("KeyConditionExpression") or "")
    if found is None:
        return
    lower, upper = (call["ExpressionAttributeValues"][name] for name in found.groups())
    if _comparable(lower) > _comparable(upper):
        raise MockValidationException(
            "Invalid KeyConditionExpression: The BETWEEN operator requires upper bound to be "
            f"greater than or equal to lower bound; lower bound operand: AttributeValue: {lower}, "
            f"upper bound operand: AttributeValue: {upper}"
        )


def _comparable(value: dict[str, Any]) -> Any:
    """Return a key's value in the form that DynamoDB compares: text and bytes by their bytes."""
    ((kind, content),) = value.items()
    if kind == "N":
        return Decimal(content)
    return content.encode() if kind == "S" else content


def rows(table: str) -> list[Row]:
    """Return every item of a table."""
    return [plain(item) for item in _items(table)]


def row(table: str, key: dict[str, Any]) -> Row:
    """Return one item. It must exist."""
    return plain(_attributes(_tables().get_item(table, key)))


def stored(table: str, key: dict[str, Any]) -> dict[str, Any]:
    """Return an item in DynamoDB's own form, or an empty one if it doesn't exist."""
    item = _tables().get_item(table, key)
    return _attributes(item) if item else {}


def plain(item: dict[str, dict[str, Any]]) -> Row:
    """Return an item in DynamoDB's own form as a Row."""
    row: Row = {}
    for name, value in item.items():
        ((kind, content),) = value.items()
        if kind == "N":
            content = int(content)
        elif kind == "B" and isinstance(content, str):
            content = base64.b64decode(content)
        row[name] = content
    return row


def clear(table: str) -> None:
    """Delete every item of a table."""
    names = [each["AttributeName"] for each in _tables().get_table(table).schema]
    _transactions.clear()
    for item in _items(table):
        delete(table, {name: item[name] for name in names})


def delete(table: str, key: dict[str, Any]) -> None:
    """Delete one item."""
    _tables().delete_item(table, key)


def empty(bucket: str) -> None:
    """Delete every object of a bucket."""
    _buckets().buckets[bucket].keys.clear()


def _update(call: dict[str, Any]) -> dict[str, Any]:
    item = _tables().update_item(
        call["TableName"],
        call["Key"],
        call["UpdateExpression"],
        call.get("ExpressionAttributeNames", {}),
        call.get("ExpressionAttributeValues", {}),
        condition_expression=call.get("ConditionExpression"),
    )
    return {"Attributes": _attributes(item)}


def _put(call: dict[str, Any]) -> dict[str, Any]:
    _tables().put_item(
        call["TableName"],
        call["Item"],
        condition_expression=call.get("ConditionExpression"),
        expression_attribute_names=call.get("ExpressionAttributeNames", {}),
        expression_attribute_values=call.get("ExpressionAttributeValues", {}),
    )
    return {}


def _get(call: dict[str, Any]) -> dict[str, Any]:
    item = _tables().get_item(call["TableName"], call["Key"])
    return {"Item": _attributes(item)} if item else {}


def _batch_get(call: dict[str, Any]) -> dict[str, Any]:
    found = {
        table: [item for key in asked["Keys"] if (item := stored(table, key))]
        for table, asked in call["RequestItems"].items()
    }
    return {"Responses": found, "UnprocessedKeys": {}}


def _delete(call: dict[str, Any]) -> dict[str, Any]:
    _tables().delete_item(
        call["TableName"],
        call["Key"],
        call.get("ExpressionAttributeNames", {}),
        call.get("ExpressionAttributeValues", {}),
        call.get("ConditionExpression"),
    )
    return {}


def _transact(call: dict[str, Any]) -> dict[str, Any]:
    """Do all writes or none. A repeated call, which has the same token, changes nothing."""
    if call["ClientRequestToken"] not in _transactions:
        _tables().transact_write_items(call["TransactItems"])
        _transactions.add(call["ClientRequestToken"])
    return {}


_transactions: set[str] = set()


def _query(call: dict[str, Any]) -> dict[str, Any]:
    """Query the due index, which is the only index that the timer queries, or the coordination
    table."""
    refuse_reversed_bounds(call)
    if call.get("IndexName") == "due":
        return _query_due(call)
    assert "IndexName" not in call
    is_in = selects(call)
    partition = _tables().get_table(call["TableName"]).items.get(_partition(call), {})
    found = [
        _attributes(item)
        for item in list(partition.values())  # other threads may add some
        if is_in(item.hash_key.value, item.range_key.value)
    ]
    found.sort(key=lambda item: str(item["sk"]["S"]))
    page = found[: call.get("Limit")]
    count: dict[str, Any] = {"Count": len(page), "ScannedCount": len(page)}
    if len(page) < len(found):
        count["LastEvaluatedKey"] = {name: page[-1][name] for name in ("pk", "sk")}
    return count if call.get("Select") == "COUNT" else count | {"Items": page}


_RANGE = re.compile(
    r"\(?#0 = :0"
    r"( AND (#1 (?P<how>=|>|>=|BETWEEN) :1( AND :2)?|(?P<begins>begins_with) \(#1, :1\)))?\)?"
)


def _partition(call: dict[str, Any]) -> DynamoType:
    """Return the partition of a query, in moto's own form."""
    return DynamoType(call["ExpressionAttributeValues"][":0"])


def selects(call: dict[str, Any]) -> Callable[[str, str], bool]:
    """Return a function that takes an item's two keys and returns whether the query selects it."""
    condition = _RANGE.fullmatch(call["KeyConditionExpression"])
    assert condition, call["KeyConditionExpression"]
    values = sorted(call["ExpressionAttributeValues"].items())
    partition, *bounds = (str(each["S"]) for _, each in values)
    after = call.get("ExclusiveStartKey", {}).get("sk", {}).get("S", "")

    def is_in(key: str) -> bool:
        match condition["begins"] or condition["how"]:
            case "begins_with":
                return key.startswith(bounds[0])
            case "BETWEEN":
                return bounds[0] <= key <= bounds[1]
            case "=":
                return key == bounds[0]
            case ">=":
                return key >= bounds[0]
            case ">":
                return key > bounds[0]
        return True

    return lambda pk, sk: pk == partition and sk > after and is_in(sk)


def _query_due(call: dict[str, Any]) -> dict[str, Any]:
    """Return or count a shard's due items: between two times, until a time or after a time."""
    values = call["ExpressionAttributeValues"].values()
    (shard,) = (each["S"] for each in values if "S" in each)
    first, *last = (int(each["N"]) for each in values if "N" in each)
    if "<=" in call["KeyConditionExpression"]:
        first, last = 0, [first]
    elif not last:
        first += 1  # due_at > first
    names = (*KEYS[call["TableName"]], "due_shard", "due_at")
    found = []
    for item in _stored_items(call["TableName"]):
        row = item.attrs
        if "due_shard" not in row or row["due_shard"].value != shard or "due_at" not in row:
            continue
        due = int(row["due_at"].value)
        if first <= due <= (*last, due)[0]:
            found.append({name: {row[name].type: row[name].value} for name in names})
    found.sort(key=lambda row: [row[name]["S"] for name in KEYS[call["TableName"]]])
    found.sort(key=lambda row: int(row["due_at"]["N"]), reverse=not call.get("ScanIndexForward", 1))
    count = {"Count": len(found), "ScannedCount": len(found)}
    return count if call.get("Select") == "COUNT" else count | {"Items": found}


def _items(table: str) -> list[dict[str, Any]]:
    """Return the items of a table, in the order of their keys."""
    found = sorted(_stored_items(table), key=_key)
    return [_attributes(item) for item in found]


def _key(item: Any) -> tuple[str, str]:
    return item.hash_key.value, item.range_key.value if item.range_key else ""


def _stored_items(table: str) -> Iterator[Any]:
    """Yield the items of a table in moto's own form, in any order. It is fast to search.

    Other threads may add items at the same time.
    """
    for each in list(_tables().get_table(table).items.values()):
        if isinstance(each, Item):
            yield each
        else:
            yield from list(each.values())


def _attributes(item: Any) -> dict[str, Any]:
    attributes: dict[str, Any] = {}
    for name, value in item.attrs.items():
        if isinstance(value.value, dict | list):  # moto's function for these takes far longer
            attributes = dynamo_to_dict(item.to_json())["Attributes"]
            break
        attributes[name] = {value.type: value.value}
    return attributes


def _tables() -> Any:
    return get_backend("dynamodb")[ACCOUNT][REGION]


def _buckets() -> Any:
    return get_backend("s3")[ACCOUNT]["aws"]


_CALLS = {
    "UpdateItem": _update,
    "PutItem": _put,
    "GetItem": _get,
    "BatchGetItem": _batch_get,
    "DeleteItem": _delete,
    "TransactWriteItems": _transact,
    "Query": _query,
}
