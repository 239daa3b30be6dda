"""Find AWS calls that would fail in a built tree, because its clients have no such method.

The check compares names only. In a file that makes a DynamoDB client, it takes `x.scan(…)` and
`"list_tables"` for DynamoDB operations, even if `x` is something else. A call that it misses fails
in the tests, because their clients have the same methods.
"""

import ast
import os
from collections.abc import Iterable, Iterator, Set
from functools import cache
from pathlib import Path

from botocore import xform_name

from job_runners.building.botocore_data import (
    ALL,
    Operations,
    known_services,
    operations_of,
    waiters_of,
)
from job_runners.errors import JobRunnersError

# The functions of job_runners.aws.clients, botocore and boto3 that make a client for a given
# service.
_MAKERS = frozenset({"client", "fresh_client", "create_client", "resource"})


class CallsLeftOut(JobRunnersError):
    """Sources call operations that a build leaves out. The message says where and how to fix it."""

    def __init__(self, found: Iterable[tuple[str, str]], named_in: str) -> None:
        self.found = list(found)
        names = ", ".join(f'"{name}"' for name in sorted({name for _, name in self.found}))
        places = "\n".join(
            f"{place}: {name} is called, but the build leaves it out" for place, name in self.found
        )
        super().__init__(f"{places}\nAdd to {named_in}: {names}")


def check_operations(sources: Iterable[Path], kept: Operations, named_in: str) -> None:
    """Raise CallsLeftOut if these files or folders call operations that aren't in `kept`.

    The message tells the reader to add the operations to `named_in`.
    """
    found = [
        (f"{os.path.relpath(file) if file.is_relative_to(Path.cwd()) else file}:{line}", name)
        for source in sources
        for file in (sorted(source.rglob("*.py")) if source.is_dir() else [source])
        if any(f"{maker}(".encode() in file.read_bytes() for maker in _MAKERS)
        for line, name in sorted(calls_left_out(file, kept))
    ]
    if found:
        raise CallsLeftOut(found, named_in)


def calls_left_out(file: Path, kept: Operations) -> Iterator[tuple[int, str]]:
    """Yield the line of each call that isn't in `kept`, and the entry that app.toml needs for it.

    The entry is an operation such as `dynamodb:Scan`. If the file makes a client for a service that
    isn't in `kept`, the entry is the name of the service.
    """
    tree = ast.parse(file.read_bytes())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    services: set[str] = set()
    for call in calls:
        service = _service_of(call)
        if service is None:
            continue
        services.add(service)
        if service not in kept:
            yield call.lineno, service
    for call in calls:
        for name in _names_in(call):
            for service in services & kept.keys():
                operation = _by_method(service).get(name)
                if operation and kept[service] != ALL and operation not in kept[service]:
                    yield call.lineno, f"{service}:{operation}"


def _service_of(call: ast.Call) -> str | None:
    """Return the service for which a call makes a client, or None if it makes none."""
    if _name_of(call.func) not in _MAKERS:
        return None
    named = [each.value for each in call.keywords if each.arg == "service_name"]
    for argument in [*call.args[:1], *named]:
        if isinstance(argument, ast.Constant) and argument.value in known_services():
            return str(argument.value)
    return None


def _names_in(call: ast.Call) -> Set[str]:
    """Return the name of the called method, and arguments that may name one (get_paginator's)."""
    texts = {each.value for each in call.args if isinstance(each, ast.Constant)}
    with_underscore = {each for each in texts if isinstance(each, str) and "_" in each}
    return with_underscore | {_name_of(call.func)}


def _name_of(called: ast.expr) -> str:
    if isinstance(called, ast.Attribute):
        return called.attr
    return called.id if isinstance(called, ast.Name) else ""


@cache
def _by_method(service: str) -> dict[str, str]:
    """Return a service's operations by the names of its client's methods and of its waiters."""
    methods = {xform_name(name): name for name in operations_of(service)}
    return methods | {xform_name(name): called for name, called in waiters_of(service).items()}
