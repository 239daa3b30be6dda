"""Reduce botocore's data to the services that our code and the app call, for the build.

Without this, a process parses the endpoints of 400 services, and the code would be three times as
large. Clients of DynamoDB and Lambda are made in most cold starts. Therefore the clients of
job_runners.aws load a description that has only the operations that our code calls. If the app
calls another operation, they load the whole description (job_runners/aws/clients.py). The reduced
data describes the same requests, endpoints and responses; tests/build/test_botocore_data.py
compares them.
"""

import gzip
import json
import re
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Set
from functools import cache
from pathlib import Path
from typing import Any

import botocore

from job_runners.aws.session import REDUCED_FOLDER

# The operations that our code calls, of the services that most cold starts need.
OPERATIONS: Mapping[str, Set[str]] = {
    "dynamodb": frozenset(
        {
            *("BatchGetItem", "BatchWriteItem", "DeleteItem", "GetItem", "PutItem", "Query"),
            *("TransactWriteItems", "UpdateItem"),
        }
    ),
    "lambda": frozenset({"Invoke"}),
}
# The services that our code calls. botocore calls sts if a profile of the AWS config assumes a
# role.
SERVICES = frozenset({*OPERATIONS, "events", "logs", "s3", "sns", "sqs", "ssm", "sts"})
# A call that makes a client of boto3, of botocore or of job_runners.aws.clients.
_CLIENT = re.compile(r"""(?:client|resource)\(\s*(?:service_name\s*=\s*)?["']([a-z0-9-]+)["']""")


@cache
def known_services() -> frozenset[str]:
    """Return the names of all services that botocore can make clients for."""
    data = Path(botocore.__file__).parent / "data"
    return frozenset(each.name for each in data.iterdir() if each.is_dir())


def services_in(sources: Iterable[Path]) -> Set[str]:
    """Return the services for which the code in these folders makes clients."""
    texts = (file.read_text("utf-8", "replace") for each in sources for file in each.rglob("*.py"))
    return {name for text in texts for name in _CLIENT.findall(text)} & known_services()


def keep_folder(made: Path, kept: Path) -> None:
    """Move a finished folder to `kept` in one step, so that no half-made folder is ever there.

    If another process was faster, keep its folder, which has the same contents.
    """
    try:
        made.rename(kept)
    except OSError:
        if not kept.is_dir():
            raise


def trim(data: Path, services: Set[str]) -> None:
    """Reduce botocore's folder `data` to these services.

    Write the reduced descriptions of OPERATIONS to the folder REDUCED_FOLDER next to it. No file is
    compressed, because reading 10 KB takes less time than decompressing them.
    """
    prefixes: set[str] = set()
    for service in [each for each in data.iterdir() if each.is_dir()]:
        if service.name not in services:
            shutil.rmtree(service)
            continue
        _decompress(service)
        described = sorted(service.glob("*/service-2.json"))
        prefixes |= {_read(file)["metadata"]["endpointPrefix"] for file in described}
        if service.name in OPERATIONS:
            newest = described[-1].parent
            reduced = data.with_name(REDUCED_FOLDER) / service.name / newest.name
            shutil.copytree(newest, reduced)
            _reduce(reduced, OPERATIONS[service.name])
    endpoints = _read(data / "endpoints.json")
    for partition in endpoints["partitions"]:
        partition["services"] = _only(partition["services"], prefixes)
    _write(data / "endpoints.json", endpoints)


def _decompress(service: Path) -> None:
    """Decompress the files of a service, without its documentation and examples."""
    for file in service.rglob("examples-1.json*"):
        file.unlink()
    for file in service.rglob("*.json.gz"):
        _write(file.with_suffix(""), _without_prose(_read(file)))
        file.unlink()


def _reduce(folder: Path, named: Set[str]) -> None:
    """Reduce the description of one version of a service's API to these operations."""
    service = _read(folder / "service-2.json")
    _keep_operations(service, named)
    _write(folder / "service-2.json", service)
    _keep_only(folder / "paginators-1.json", "pagination", service["operations"])
    waiters = _read(folder / "waiters-2.json")["waiters"].items()
    kept = [name for name, each in waiters if each["operation"] in service["operations"]]
    _keep_only(folder / "waiters-2.json", "waiters", kept)


def _keep_operations(service: dict[str, Any], named: Set[str]) -> None:
    """Remove the operations that aren't in `named`, and the shapes that the others don't use.

    The shapes of errors stay, because code may use them by name (`client.exceptions`).
    """
    operations, shapes = service["operations"], service["shapes"]
    for name, operation in list(operations.items()):
        # botocore itself calls endpoint operations.
        if name not in named and not operation.get("endpointoperation"):
            del operations[name]
    wanted = set(_shapes_named_in(operations))
    wanted |= {name for name, shape in shapes.items() if shape.get("exception")}
    found: set[str] = set()
    while wanted:
        name = wanted.pop()
        found.add(name)
        wanted |= set(_shapes_named_in(shapes[name])) - found
    service["shapes"] = _only(shapes, found)


def _shapes_named_in(described: Any) -> Iterator[str]:
    """Yield the names of the shapes to which a part of a service's description refers."""
    if isinstance(described, dict):
        if isinstance(described.get("shape"), str):
            yield described["shape"]
        described = list(described.values())
    if isinstance(described, list):
        for part in described:
            yield from _shapes_named_in(part)


def _keep_only(file: Path, part: str, kept: Collection[str]) -> None:
    """Keep only the entries of `part` that are in `kept`."""
    content = _read(file)
    _write(file, content | {part: _only(content[part], kept)})


def _without_prose(described: Any) -> Any:
    """Remove the documentation texts from a description.

    The texts of `clientContextParams` stay, because botocore reads them when it makes a client.
    """
    if isinstance(described, list):
        return [_without_prose(part) for part in described]
    if not isinstance(described, dict):
        return described
    return {
        name: part if name == "clientContextParams" else _without_prose(part)
        for name, part in described.items()
        if not (name == "documentation" and isinstance(part, str))
    }


def _only(values: Mapping[str, Any], kept: Collection[str]) -> dict[str, Any]:
    return {name: each for name, each in values.items() if name in kept}


def _read(file: Path) -> dict[str, Any]:
    packed = file.read_bytes()
    read: dict[str, Any] = json.loads(gzip.decompress(packed) if file.suffix == ".gz" else packed)
    return read


def _write(file: Path, described: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(described, separators=(",", ":")), encoding="utf-8")
