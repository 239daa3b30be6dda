"""Reduce botocore's data to the operations that our code and the app call, for the build.

Without this, a process parses the endpoints of 400 services and the whole description of each
service that it makes a client for. That takes half of a cold start. The reduced data describes the
same requests, endpoints and responses; tests/build/test_botocore_data.py compares them.

If an operation is listed neither here nor in app.toml, a client of its service has no method for
it. Two checks find such calls before a deploy: tests use the same reduced clients
(job_runners/testing/shipped_operations.py), and each build searches the sources
(job_runners/building/operation_check.py).
"""

import gzip
import hashlib
import json
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping, Set
from functools import cache
from pathlib import Path
from typing import Any

import botocore

# The operations that our code, pynamodb or botocore itself calls, by service.
OPERATIONS: Mapping[str, Set[str]] = {
    "dynamodb": frozenset(
        {
            *("BatchGetItem", "BatchWriteItem", "DeleteItem", "GetItem", "PutItem", "Query"),
            *("TransactWriteItems", "UpdateItem"),
        }
    ),
    "events": frozenset({"PutEvents"}),
    "lambda": frozenset({"Invoke"}),
    "logs": frozenset({"FilterLogEvents"}),
    "s3": frozenset(
        {
            *("DeleteObject", "DeleteObjects", "GetObject", "HeadObject", "ListObjectsV2"),
            *("AbortMultipartUpload", "CompleteMultipartUpload", "CreateMultipartUpload"),
            *("PutObject", "UploadPart"),
            "CreateSession",  # botocore calls it for directory buckets
            "HeadBucket",  # botocore calls it to find a bucket's region
        }
    ),
    "sns": frozenset({"Publish"}),
    "sqs": frozenset({"SendMessage"}),
    "ssm": frozenset({"GetParameter", "GetParametersByPath"}),
    # botocore calls these if a profile of the AWS config assumes a role.
    "sts": frozenset({"AssumeRole", "AssumeRoleWithWebIdentity"}),
}
# Stands for all operations of a service.
ALL: Set[str] = frozenset({"*"})

Operations = Mapping[str, Set[str]]


def with_ours(added: Operations) -> Operations:
    """Combine our operations with those that the app's code calls."""
    combined = {
        service: OPERATIONS.get(service, frozenset()) | named for service, named in added.items()
    }
    return {
        **OPERATIONS,
        **{name: ALL if named >= ALL else named for name, named in combined.items()},
    }


def installed_data() -> Path:
    """Return the data folder of the installed botocore, which is complete."""
    return Path(botocore.__file__).parent / "data"


@cache
def known_services() -> frozenset[str]:
    """Return the names of all services that botocore can make clients for."""
    return frozenset(each.name for each in installed_data().iterdir() if each.is_dir())


@cache
def operations_of(service: str) -> frozenset[str]:
    """Return the names of all operations of a service."""
    return frozenset(_read(_newest_model(service))["operations"])


@cache
def waiters_of(service: str) -> Mapping[str, str]:
    """Return the names of a service's waiters, each with the operation that it calls."""
    file = _newest_model(service).with_name("waiters-2.json")
    waiters = _read(file)["waiters"] if file.exists() else {}
    return {name: each["operation"] for name, each in waiters.items()}


def _newest_model(service: str) -> Path:
    return max((installed_data() / service).glob("*/service-2.json*"))


def trimmed_copy(cache: Path, kept: Operations) -> Path:
    """Return a reduced copy of the installed data. It is kept in the folder `cache`."""
    named = sorted((service, sorted(names)) for service, names in kept.items())
    recipe = f"{botocore.__version__} {named} ".encode() + Path(__file__).read_bytes()
    copy = cache / f"botocore-{hashlib.sha256(recipe).hexdigest()[:16]}"
    if not copy.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            made = Path(scratch) / "data"
            made.mkdir()
            for entry in installed_data().iterdir():
                if entry.is_file():
                    shutil.copy2(entry, made)
                elif entry.name in kept:
                    shutil.copytree(entry, made / entry.name)
            trim(made, kept)
            keep_folder(made, copy)
    return copy


def keep_folder(made: Path, kept: Path) -> None:
    """Move a finished folder to `kept` in one step, so that no half-made folder is ever there.

    If another process was faster, keep its folder, which has the same contents.
    """
    try:
        made.rename(kept)
    except OSError:
        if not kept.is_dir():
            raise


def trim(data: Path, kept: Operations) -> None:
    """Reduce botocore's folder `data` to these operations of these services."""
    prefixes = set()
    for service in [each for each in data.iterdir() if each.is_dir()]:
        if service.name in kept:
            for version in _remove_unused_versions(service, newest_only=kept[service.name] != ALL):
                prefixes.add(_trim_version(version, kept[service.name]))
        else:
            shutil.rmtree(service)
    endpoints = _read(data / "endpoints.json")
    for partition in endpoints["partitions"]:
        partition["services"] = _only(partition["services"], prefixes)
    _write(data / "endpoints.json", endpoints)


def _remove_unused_versions(service: Path, *, newest_only: bool) -> list[Path]:
    """Remove the versions of a service's API that no client uses, and return the others.

    `newest_only` means that clients use only the newest version.
    """
    versions = sorted({file.parent for file in service.glob("*/service-2.json*")})
    kept = versions[-1:] if newest_only else versions
    for version in service.iterdir():
        if version not in kept:
            shutil.rmtree(version)
    return kept


def _trim_version(folder: Path, named: Set[str]) -> str:
    """Reduce the description of one version of a service's API.

    Return the service's name in endpoints.json. The files aren't compressed, because reading 10 KB
    takes less time than decompressing them.
    """
    (folder / "examples-1.json").unlink(missing_ok=True)
    for file in folder.glob("*.json.gz"):
        _write(file.with_suffix(""), _without_prose(_read(file)))
        file.unlink()
    service = _read(folder / "service-2.json")
    if named != ALL:
        _keep_operations(service, named)
        _write(folder / "service-2.json", service)
        _keep_only(folder, "paginators-1", "pagination", service["operations"])
        _keep_only(folder, "service-2.sdk-extras", "shapes", service["shapes"])
        _keep_waiters(folder / "waiters-2.json", service["operations"])
    return str(service["metadata"]["endpointPrefix"])


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


def _keep_only(folder: Path, name: str, part: str, kept: Collection[str]) -> None:
    """Keep only the entries of `part` that are in `kept`, in the file `name` and in its extras.

    botocore merges the extras into the file.
    """
    for file in folder.glob(f"{name}*.json"):
        content = _read(file)
        parent = content.get("merge", content)
        if part in parent:
            parent[part] = _only(parent[part], kept)
            _write(file, content)


def _keep_waiters(file: Path, operations: Collection[str]) -> None:
    if file.exists():
        content = _read(file)
        waiters = content["waiters"].items()
        content["waiters"] = {
            name: each for name, each in waiters if each["operation"] in operations
        }
        _write(file, content)


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
