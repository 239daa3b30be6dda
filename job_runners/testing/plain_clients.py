"""AWS clients that the tested code doesn't use, to set up tests and to check their effects."""

from functools import cache
from typing import Any, TypeVar

import botocore.session

from job_runners.settings import required
from job_runners.store.table import Table

_M = TypeVar("_M", bound=Table)


@cache
def full_client(service: str) -> Any:
    """Return a client with all operations of a service.

    It is cached, because each new session reads botocore's files again. That would take more time
    than everything else in the tests of the API.
    """
    return botocore.session.get_session().create_client(service)


def every_row(model: type[_M]) -> list[_M]:
    """Return all rows of a table. The engine never does this."""
    name = required(model.table_setting, model.__name__)
    scan = full_client("dynamodb").get_paginator("scan")
    pages = scan.paginate(TableName=name, ConsistentRead=True)
    return [model.from_raw_data(item) for page in pages for item in page["Items"]]
