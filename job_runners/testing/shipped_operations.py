"""Give tests clients that have only the operations that a build ships.

A call of another operation fails in a test, as it would in a function: see
job_runners/building/botocore_data.py.
"""

from collections.abc import Set
from functools import cache
from typing import Any, TypeVar

import botocore.session
from botocore.loaders import Loader

from job_runners.aws import clients
from job_runners.aws.session import Session
from job_runners.building.app_folder import find_app_folder
from job_runners.building.botocore_data import trimmed_copy, with_ours
from job_runners.building.build import CACHE
from job_runners.settings import required
from job_runners.store.table import Table

_M = TypeVar("_M", bound=Table)

# The operations of work that tests run although it isn't in the app's folder.
more_operations: dict[str, Set[str]] = {}

_sessions: dict[str, Session] = {}


def use_shipped_operations() -> None:
    """Make job_runners.aws.clients create clients that have only the operations that a build ships.

    These are the operations of this project, those in the organization's app.toml, and
    `more_operations`.
    """
    app = find_app_folder()
    named = with_ours({**more_operations, **(app.operations if app else {})})
    folder = str(trimmed_copy(CACHE, named))
    if folder not in _sessions:
        session = Session()
        loader = Loader(extra_search_paths=[folder], include_default_search_paths=False)
        session.register_component("data_loader", loader)
        _sessions[folder] = session
    clients.use_session(_sessions[folder])


@cache
def full_client(service: str) -> Any:
    """Return a client with every operation of a service, to set up a test and check its effects.

    It is cached, because each new session reads botocore's files again. Without the cache, this
    would take more time than everything else in the tests of the API.
    """
    return botocore.session.get_session().create_client(service)


def every_row(model: type[_M]) -> list[_M]:
    """Return all rows of a table. The engine never does this."""
    name = required(model.table_setting, model.__name__)
    scan = full_client("dynamodb").get_paginator("scan")
    pages = scan.paginate(TableName=name, ConsistentRead=True)
    return [model.from_raw_data(item) for page in pages for item in page["Items"]]
