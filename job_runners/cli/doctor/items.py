"""Read the items of one DynamoDB partition, and rows by their ids."""

import time
from collections.abc import Iterable, Iterator
from typing import Any

Item = dict[str, dict[str, Any]]  # DynamoDB's own JSON

_TRIES = 8  # the most calls that are made until DynamoDB has processed all items


def partition(
    dynamodb: Any, table: str, key: str, value: str, names: Iterable[str], **query: Any
) -> Iterator[Item]:
    """Yield the named attributes of each item in a DynamoDB partition. Pages are read as you
    iterate."""
    aliases = {f"#{number}": name for number, name in enumerate(names)}
    pages = dynamodb.get_paginator("query").paginate(
        TableName=table,
        KeyConditionExpression="#key = :value",
        ProjectionExpression=", ".join(aliases),
        ExpressionAttributeNames={"#key": key, **aliases},
        ExpressionAttributeValues={":value": {"S": value}},
        **query,
    )
    for page in pages:
        yield from page["Items"]


def read_all(dynamodb: Any, table: str, ids: list[str], names: Iterable[str]) -> list[Item]:
    """Return the named attributes of the rows with these ids (at most 100), read consistently."""
    aliases = {f"#{number}": name for number, name in enumerate(names)}
    request = {
        "Keys": [{"id": {"S": each}} for each in ids],
        "ConsistentRead": True,
        "ProjectionExpression": ", ".join(aliases),
        "ExpressionAttributeNames": aliases,
    }
    items: list[Item] = []
    requests = {table: request}
    for attempt in range(_TRIES):
        answer = dynamodb.batch_get_item(RequestItems=requests)
        items += answer["Responses"].get(table, [])
        requests = answer.get("UnprocessedKeys")
        if not requests:
            return items
        time.sleep(0.1 * 2**attempt)
    raise TimeoutError("DynamoDB is too busy. Run the command again.")
