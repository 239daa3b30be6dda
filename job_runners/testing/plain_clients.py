"""AWS clients for a test's own calls, separate from those of the code under test."""

from functools import cache
from typing import Any, TypeVar

import botocore.session

from job_runners.settings import required
from job_runners.store.table import Table

_M = TypeVar("_M", bound=Table)


@cache
def full_client(service: str) -> Any:
    """Return a client with all operations of a service.

    Clients are cached, because reading botocore's files for each new session would take more time
    than everything else in the API's tests.
    """
    return botocore.session.get_session().create_client(service)


def every_row(model: type[_M]) -> list[_M]:
    """Return all rows of a table, which the engine never reads as a whole."""
    name = required(model.table_setting, model.__name__)
    scan = full_client("dynamodb").get_paginator("scan")
    pages = scan.paginate(TableName=name, ConsistentRead=True)
    return [model.from_raw_data(item) for page in pages for item in page["Items"]]
