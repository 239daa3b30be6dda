"""Single items and objects of the simulated AWS, without a request."""

from typing import Any

from moto.backends import get_backend

from job_runners.fake_dynamodb.behind_moto import ACCOUNT, database
from job_runners.fake_dynamodb.tables import Item, Table
from job_runners.testing.moto_direct import Row

KEYS = {"jobs": ("id",), "coordination": ("pk", "sk")}


def content(bucket: str, key: str) -> bytes:
    """Return an object of a bucket."""
    found: bytes = get_backend("s3")[ACCOUNT]["aws"].buckets[bucket].keys[key].value
    return found


def row(table: str, key: dict[str, Any]) -> Row:
    """Return one item. It must exist."""
    found = _table(table)
    return dict(found.items[found.key_of(key)].plain)


def stored(table: str, key: dict[str, Any]) -> dict[str, Any]:
    """Return an item in DynamoDB's own form, or an empty one if it doesn't exist."""
    item = _table(table).items.get(_table(table).key_of(key))
    return dict(item.attributes) if item else {}


def plain(item: dict[str, dict[str, Any]]) -> Row:
    """Return an item in DynamoDB's own form as a Row."""
    return dict(Item(item).plain)


def delete(table: str, key: dict[str, Any]) -> None:
    """Delete one item."""
    found = _table(table)
    database().store(found, found.key_of(key), None)


def _table(name: str) -> Table:
    return database().find_table(name)
