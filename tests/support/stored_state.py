"""What a stack on moto has stored, as JSON holds it: read from it, and put into another.

It imports none of our code, so that a process of an old version can use it. Clients are boto3's.
"""

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any

# By the environment variables that name them.
TABLES = ("JOBS_TABLE_NAME", "COORDINATION_TABLE_NAME")


def read_tables(dynamodb: Any, names: Mapping[str, str]) -> dict[str, list[Any]]:
    """Return the items of each table, by the variable that names it."""
    return {variable: _items(dynamodb, names[variable]) for variable in TABLES}


def restore_tables(dynamodb: Any, names: Mapping[str, str], tables: Mapping[str, Any]) -> None:
    """Put what `read_tables` returned."""
    for variable, items in tables.items():
        for item in items:
            dynamodb.put_item(TableName=names[variable], Item=_item(item))


def read_objects(s3: Any, bucket: str) -> dict[str, str]:
    """Return the content of each object, as base64, by its key."""
    return dict(_objects(s3, bucket))


def restore_objects(s3: Any, bucket: str, objects: Mapping[str, str]) -> None:
    """Put what `read_objects` returned."""
    for key, content in objects.items():
        s3.put_object(Bucket=bucket, Key=key, Body=base64.b64decode(content))


def _items(dynamodb: Any, table: str) -> list[Any]:
    items = dynamodb.scan(TableName=table, ConsistentRead=True)["Items"]
    return sorted((_as_text(item) for item in items), key=json.dumps)


def _as_text(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return an item as JSON can hold it: bytes as base64, as DynamoDB's own JSON has them."""
    return {
        name: {"B": base64.b64encode(value["B"]).decode()} if "B" in value else value
        for name, value in sorted(item.items())
    }


def _item(recorded: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: {"B": base64.b64decode(value["B"])} if "B" in value else value
        for name, value in recorded.items()
    }


def _objects(s3: Any, bucket: str) -> Iterator[tuple[str, str]]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    for each in (each for page in pages for each in page.get("Contents", [])):
        body = s3.get_object(Bucket=bucket, Key=each["Key"])["Body"].read()
        yield each["Key"], base64.b64encode(body).decode()
