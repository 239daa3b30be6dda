"""Read and clear the tables and the bucket of the simulated AWS directly, without a request."""

from typing import Any

from moto.backends import get_backend

from job_runners.fake_dynamodb.behind_moto import ACCOUNT, REGION, database, table_names
from job_runners.fake_dynamodb.tables import Table

Row = dict[str, Any]
"""An item as it is stored, such as a JobRequest. It maps names to text, numbers or bytes."""


def create_bucket(name: str) -> None:
    """Create a bucket that keeps versions, as the template's does."""
    _buckets().create_bucket(name, REGION)
    _buckets().put_bucket_versioning(name, "Enabled")


def empty(bucket: str) -> None:
    """Delete every object of a bucket."""
    _buckets().buckets[bucket].keys.clear()


def rows(table: str) -> list[Row]:
    """Return every item of a table, in the order of their keys."""
    with database().locked():
        items = sorted(_table(table).items.items())
    return [dict(item.plain) for _, item in items]


def clear(table: str) -> None:
    """Delete every item of a table."""
    database().clear(table)


def clear_all() -> None:
    """Delete every item of all tables."""
    for table in table_names():
        clear(table)


def _table(name: str) -> Table:
    return database().find_table(name)


def _buckets() -> Any:
    return get_backend("s3")[ACCOUNT]["aws"]
