"""What is in the tables and the bucket of the simulated AWS, without a request."""

from typing import Any

from moto.backends import get_backend

from job_runners.fake_dynamodb.behind_moto import ACCOUNT, REGION, database, table_names
from job_runners.fake_dynamodb.tables import Item, Table

KEYS = {"jobs": ("id",), "coordination": ("pk", "sk")}

Row = dict[str, Any]
"""An item as it is stored, such as a JobRequest. It maps names to text, numbers or bytes."""


def create_bucket(name: str) -> None:
    """Create a bucket that keeps versions, as the template's does."""
    _buckets().create_bucket(name, REGION)
    _buckets().put_bucket_versioning(name, "Enabled")


def empty(bucket: str) -> None:
    """Delete every object of a bucket."""
    _buckets().buckets[bucket].keys.clear()


def content(bucket: str, key: str) -> bytes:
    """Return an object of a bucket."""
    found: bytes = _buckets().buckets[bucket].keys[key].value
    return found


def rows(table: str) -> list[Row]:
    """Return every item of a table, in the order of their keys."""
    with database().locked():
        items = sorted(_table(table).items.items())
    return [dict(item.plain) for _, item in items]


def row(table: str, key: dict[str, Any]) -> Row:
    """Return one item. It must exist."""
    return dict(_item(table, key).plain)


def stored(table: str, key: dict[str, Any]) -> dict[str, Any]:
    """Return an item in DynamoDB's own form, or an empty one if it doesn't exist."""
    item = _table(table).items.get(_table(table).key_of(key))
    return dict(item.attributes) if item else {}


def plain(item: dict[str, dict[str, Any]]) -> Row:
    """Return an item in DynamoDB's own form as a Row."""
    return dict(Item(item).plain)


def clear(table: str) -> None:
    """Delete every item of a table."""
    database().clear(table)


def clear_all() -> None:
    """Delete every item of all tables."""
    for table in table_names():
        clear(table)


def delete(table: str, key: dict[str, Any]) -> None:
    """Delete one item."""
    found = _table(table)
    database().store(found, found.key_of(key), None)


def _item(table: str, key: dict[str, Any]) -> Item:
    return _table(table).items[_table(table).key_of(key)]


def _table(name: str) -> Table:
    return database().find_table(name)


def _buckets() -> Any:
    return get_backend("s3")[ACCOUNT]["aws"]
