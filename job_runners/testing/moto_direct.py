"""Read and clear the simulated AWS's tables and bucket directly, without requests."""

from typing import Any

from moto.backends import get_backend

from job_runners.fake_dynamodb.behind_moto import ACCOUNT, REGION, database, table_names

Row = dict[str, Any]
"""A stored item, such as a JobRequest, by attribute. Values are text, numbers or bytes."""


def create_bucket(name: str) -> None:
    """Create a bucket with versioning, as template.yaml does."""
    _buckets().create_bucket(name, REGION)
    _buckets().put_bucket_versioning(name, "Enabled")


def empty(bucket: str) -> None:
    """Delete every object in a bucket."""
    _buckets().buckets[bucket].keys.clear()


def rows(table: str) -> list[Row]:
    """Return every item in a table, sorted by key."""
    with database().locked():
        items = sorted(database().find_table(table).items.items())
    return [dict(item.plain) for _, item in items]


def clear(table: str) -> None:
    """Delete every item in a table."""
    database().clear(table)


def clear_all() -> None:
    """Delete every item in every table."""
    for table in table_names():
        clear(table)


def _buckets() -> Any:
    return get_backend("s3")[ACCOUNT]["aws"]
