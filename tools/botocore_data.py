"""Cuts botocore's data down to the operations that are called: what a build ships of it.

A process parses the endpoints of 400 services, and the whole description of each service that it
makes a client of: half of a cold start. What is left describes the same requests, endpoints and
answers, and tests/infra/test_botocore_data.py compares them.

An operation that is not named here, nor in an organisation's app.toml, has no method on its client.
So that this shows before a deploy, tests run on such clients (testing/shipped_operations.py), and
each build looks for calls in the sources (tools/operation_check.py).
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

# What we call, by service: ourselves, by pynamodb, or by botocore on its own behalf.
OPERATIONS: Mapping[str, Set[str]] = {
    "dynamodb": frozenset(
        {
            *("BatchGetItem", "BatchWriteItem", "DeleteItem", "GetItem", "PutItem", "Query"),
            *("TransactWriteItems", "UpdateItem"),
        }
    ),
    "lambda": frozenset({"Invoke"}),
    "logs": frozenset({"FilterLogEvents"}),
    "s3": frozenset(
        {
            *("DeleteObject", "DeleteObjects", "GetObject", "HeadObject", "ListObjectsV2"),
            *("AbortMultipartUpload", "CompleteMultipartUpload", "CreateMultipartUpload"),
            *("PutObject", "UploadPart"),
            "CreateSession",  # botocore's: of a directory bucket
            "HeadBucket",  # botocore's: in which region a bucket is
        }
    ),
    "sns": frozenset({"Publish"}),
    "sqs": frozenset({"SendMessage"}),
    "ssm": frozenset({"GetParameter", "GetParametersByPath"}),
    "sts": frozenset({"AssumeRole", "AssumeRoleWithWebIdentity"}),  # botocore's: of a profile
}
# Of a service whose operations are all kept.
ALL: Set[str] = frozenset({"*"})

Operations = Mapping[str, Set[str]]


def with_ours(added: Operations) -> Operations:
    """Return what we call and what an organisation's work calls besides."""
    every = {
        service: OPERATIONS.get(service, frozenset()) | named for service, named in added.items()
    }
    return {**OPERATIONS, **{name: ALL if named >= ALL else named for name, named in every.items()}}


def installed_data() -> Path:
    """Return the folder of data of the botocore that is installed here, which is whole."""
    return Path(botocore.__file__).parent / "data"


@cache
def known_services() -> frozenset[str]:
    """Return the services that botocore describes, by the names its clients are made by."""
    return frozenset(each.name for each in installed_data().iterdir() if each.is_dir())


@cache
def operations_of(service: str) -> frozenset[str]:
    """Return the names of all operations of a service."""
    return frozenset(_read(_newest_model(service))["operations"])


@cache
def waiters_of(service: str) -> Mapping[str, str]:
    """Return what a client of a service can wait for, and the operation that it asks with."""
    file = _newest_model(service).with_name("waiters-2.json")
    waiters = _read(file)["waiters"] if file.exists() else {}
    return {name: each["operation"] for name, each in waiters.items()}


def _newest_model(service: str) -> Path:
    return max((installed_data() / service).glob("*/service-2.json*"))


def trimmed_copy(cache: Path, kept: Operations) -> Path:
    """Return a copy of the data that is installed here, cut down; it is kept in the folder `cache`
    for the next time."""
    named = sorted((service, sorted(names)) for service, names in kept.items())
    recipe = f"{botocore.__version__} {named} ".encode() + Path(__file__).read_bytes()
    copy = cache / f"botocore-{hashlib.sha256(recipe).hexdigest()[:16]}"
    if not copy.exists():
        cache.mkdir(exist_ok=True)
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
    """Move a folder to where it is kept, at once, so that nothing half made is ever there. Of two
    that are made at the same time one is first, and both are alike."""
    try:
        made.rename(kept)
    except OSError:
        if not kept.is_dir():
            raise


def trim(data: Path, kept: Operations) -> None:
    """Cut botocore's folder `data` down to these operations of these services."""
    prefixes = set()
    for service in [each for each in data.iterdir() if each.is_dir()]:
        if service.name in kept:
            for version in _versions(service, newest_alone=kept[service.name] != ALL):
                prefixes.add(_trim_version(version, kept[service.name]))
        else:
            shutil.rmtree(service)
    endpoints = _read(data / "endpoints.json")
    for partition in endpoints["partitions"]:
        partition["services"] = _only(partition["services"], prefixes)
    _write(data / "endpoints.json", endpoints)


def _versions(service: Path, *, newest_alone: bool) -> list[Path]:
    """Return the versions of a service's API that clients are made of, and remove the others."""
    versions = sorted({file.parent for file in service.glob("*/service-2.json*")})
    kept = versions[-1:] if newest_alone else versions
    for version in service.iterdir():
        if version not in kept:
            shutil.rmtree(version)
    return kept


def _trim_version(folder: Path, named: Set[str]) -> str:
    """Cut down what describes a version of a service's API; return the name that endpoints.json
    has for the service.

    Nothing is compressed: to read 10 KB takes less time than to unpack them.
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
    """Remove every other operation, and every shape that is of none of those and no error: of the
    errors, code may ask by name (`client.exceptions`)."""
    operations, shapes = service["operations"], service["shapes"]
    for name, operation in list(operations.items()):
        if name not in named and not operation.get("endpointoperation"):  # botocore's own use
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
    """Yield the shapes that an operation, a shape, or a part of one refers to."""
    if isinstance(described, dict):
        if isinstance(described.get("shape"), str):
            yield described["shape"]
        described = list(described.values())
    if isinstance(described, list):
        for part in described:
            yield from _shapes_named_in(part)


def _keep_only(folder: Path, name: str, part: str, kept: Collection[str]) -> None:
    """Keep these names in a part of a file, and in what botocore merges into it."""
    for file in folder.glob(f"{name}*.json"):
        read = _read(file)
        holder = read.get("merge", read)
        if part in holder:
            holder[part] = _only(holder[part], kept)
            _write(file, read)


def _keep_waiters(file: Path, operations: Collection[str]) -> None:
    if file.exists():
        read = _read(file)
        waiters = read["waiters"].items()
        read["waiters"] = {name: each for name, each in waiters if each["operation"] in operations}
        _write(file, read)


def _without_prose(described: Any) -> Any:
    """Return a description without what it says to people. botocore asks for the words of
    `clientContextParams` whenever it makes a client."""
    if isinstance(described, list):
        return [_without_prose(part) for part in described]
    if not isinstance(described, dict):
        return described
    return {
        name: part if name == "clientContextParams" else _without_prose(part)
        for name, part in described.items()
        if not (name == "documentation" and isinstance(part, str))
    }


def _only(all_of_it: Mapping[str, Any], kept: Collection[str]) -> dict[str, Any]:
    return {name: each for name, each in all_of_it.items() if name in kept}


def _read(file: Path) -> dict[str, Any]:
    packed = file.read_bytes()
    read: dict[str, Any] = json.loads(gzip.decompress(packed) if file.suffix == ".gz" else packed)
    return read


def _write(file: Path, described: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(described, separators=(",", ":")), encoding="utf-8")
