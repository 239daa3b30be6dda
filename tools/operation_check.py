"""Finds calls of AWS in sources that the clients of a built tree do not have.

It reads the text alone, so it goes by names: in a file that makes a client of DynamoDB, `x.scan(…)`
and `"list_tables"` are DynamoDB's operations, whatever x is. A call that it misses fails in tests,
whose clients have the same operations.
"""

import ast
import os
from collections.abc import Iterable, Iterator, Set
from functools import cache
from pathlib import Path

from botocore import xform_name

from errors import JobRunnersError
from tools.botocore_data import ALL, Operations, known_services, operations_of, waiters_of

# Of aws.clients, botocore and boto3: what makes a client of the service that it is given.
_MAKERS = frozenset({"client", "fresh_client", "create_client", "resource"})


class CallsLeftOut(JobRunnersError):
    """Sources call what no client of a built tree has. The message says where, and what to do."""

    def __init__(self, found: Iterable[tuple[str, str]], named_in: str) -> None:
        self.found = list(found)
        names = ", ".join(f'"{name}"' for name in sorted({name for _, name in self.found}))
        places = "\n".join(
            f"{place}: {name} is called, and would not be built in" for place, name in self.found
        )
        super().__init__(f"{places}\nAdd to {named_in}: {names}")


def check_operations(sources: Iterable[Path], kept: Operations, named_in: str) -> None:
    """Raise CallsLeftOut if one of these files, or a file in one of these folders, calls what is
    not kept; `named_in` is where it would be named."""
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
    """Yield the line of each call of an operation that is not kept, and what app.toml would name,
    such as `dynamodb:Scan`; of a client of a service that is not kept, the service."""
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
    """Return the service that a call makes a client of, None if it makes none."""
    if _name_of(call.func) not in _MAKERS:
        return None
    named = [each.value for each in call.keywords if each.arg == "service_name"]
    for argument in [*call.args[:1], *named]:
        if isinstance(argument, ast.Constant) and argument.value in known_services():
            return str(argument.value)
    return None


def _names_in(call: ast.Call) -> Set[str]:
    """Return the method that a call is of, and its texts that may name one, as for a paginator."""
    texts = {each.value for each in call.args if isinstance(each, ast.Constant)}
    of_several_words = {each for each in texts if isinstance(each, str) and "_" in each}
    return of_several_words | {_name_of(call.func)}


def _name_of(called: ast.expr) -> str:
    if isinstance(called, ast.Attribute):
        return called.attr
    return called.id if isinstance(called, ast.Name) else ""


@cache
def _by_method(service: str) -> dict[str, str]:
    """Return a service's operations by the methods of its client, and by what it can wait for."""
    methods = {xform_name(name): name for name in operations_of(service)}
    return methods | {xform_name(name): called for name, called in waiters_of(service).items()}
