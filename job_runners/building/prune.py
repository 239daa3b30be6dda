"""Remove the files of installed dependencies that no function can use.

Most of these files are botocore's. A build keeps botocore's data only for the AWS services that
our code and the app call.

botocore has a JSON description of each service, and one file with the endpoints of 400 services.
With all of this data, the code would be three times as large, and each process would parse all
endpoints.

Most cold starts create clients of DynamoDB and Lambda. For these, a build also has descriptions
with only the operations that our code calls. If the app calls another operation, its client loads
the whole description (job_runners/aws/clients.py). tests/build/test_botocore_data.py checks that
requests, endpoints and responses stay the same.
"""

import csv
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

# The services that most cold starts need, each with the operations that our code calls.
OPERATIONS: Mapping[str, Set[str]] = {
    "dynamodb": frozenset(
        {
            "BatchGetItem",
            "BatchWriteItem",
            "DeleteItem",
            "GetItem",
            "PutItem",
            "Query",
            "TransactWriteItems",
            "UpdateItem",
        }
    ),
    "lambda": frozenset({"Invoke"}),
}
# All services that our code calls. botocore itself calls sts if an AWS profile assumes a role.
SERVICES = frozenset({*OPERATIONS, "events", "logs", "s3", "sns", "sqs", "ssm", "sts"})
# A call that creates a client of boto3, of botocore or of job_runners.aws.clients.
_CLIENT = re.compile(r"""(?:client|resource)\(\s*(?:service_name\s*=\s*)?["']([a-z0-9-]+)["']""")
# Patterns of files and folders that no code uses.
_NEVER_USED = (
    "bin",  # console scripts
    ".lock",  # uv's
    "*.dist-info/uv_cache.json",
    "aws_lambda_powertools/event_handler/openapi/swagger_ui/*.*s*",  # scripts and styles
    "**/*.pyi",
    "pydantic/mypy.py",
    "*.dist-info/sboms",
    "tzdata/zoneinfo/*.tab",
    "tzdata/zoneinfo/tzdata.zi",
    "tzdata/zoneinfo/leapseconds",
)
_POWERTOOLS = (
    "auth_alpha",
    "batch",
    "circuit_breaker",
    "data_masking",
    "feature_flags",
    "idempotency",
    "kafka",
    "parser",
    "streaming",
    "validation",
)


@cache
def known_services() -> frozenset[str]:
    """Return the names of all services that botocore can create clients for."""
    data = Path(botocore.__file__).parent / "data"
    return frozenset(entry.name for entry in data.iterdir() if entry.is_dir())


def services_in(sources: Iterable[Path]) -> Set[str]:
    """Return the services for which the code in these folders creates clients."""
    names: set[str] = set()
    for folder in sources:
        for file in folder.rglob("*.py"):
            names.update(_CLIENT.findall(file.read_text("utf-8", "replace")))
    return names & known_services()


def trim(data: Path, services: Set[str]) -> None:
    """Reduce botocore's folder `data` to these services.

    For the services in OPERATIONS, also write descriptions with only these operations to the
    folder REDUCED_FOLDER next to `data`. Decompress all files, because reading 10 KB more takes
    less time than decompressing.
    """
    endpoint_names: set[str] = set()
    for service in [entry for entry in data.iterdir() if entry.is_dir()]:
        if service.name not in services:
            shutil.rmtree(service)
            continue
        _decompress(service)
        descriptions = sorted(service.glob("*/service-2.json"))
        endpoint_names |= {_read(file)["metadata"]["endpointPrefix"] for file in descriptions}
        if service.name in OPERATIONS:
            newest = descriptions[-1].parent
            reduced = data.with_name(REDUCED_FOLDER) / service.name / newest.name
            shutil.copytree(newest, reduced)
            _reduce(reduced, OPERATIONS[service.name])
    endpoints = _read(data / "endpoints.json")
    for partition in endpoints["partitions"]:
        partition["services"] = _filter(partition["services"], endpoint_names)
    _write(data / "endpoints.json", endpoints)


def _decompress(service: Path) -> None:
    """Decompress the files of a service, and drop its documentation and examples."""
    for file in service.rglob("examples-1.json*"):
        file.unlink()
    for file in service.rglob("*.json.gz"):
        _write(file.with_suffix(""), _without_documentation(_read(file)))
        file.unlink()


def _reduce(folder: Path, operations: Set[str]) -> None:
    """Reduce the description of one version of a service's API to these operations.

    The files about its paginators and waiters stay as they are, because no client with reduced
    descriptions reads them (job_runners/aws/clients.py).
    """
    service = _read(folder / "service-2.json")
    _keep_operations(service, operations)
    _write(folder / "service-2.json", service)


def _keep_operations(service: dict[str, Any], names: Set[str]) -> None:
    """Remove all operations except `names`, and the shapes (data types) that only they use.

    The shapes of errors stay, because code may use them by name (`client.exceptions`).
    """
    operations, shapes = service["operations"], service["shapes"]
    for name, operation in list(operations.items()):
        # botocore itself calls endpoint operations.
        if name not in names and not operation.get("endpointoperation"):
            del operations[name]
    # Follow the references from shape to shape, to find all shapes that are still used.
    pending = set(_referenced_shapes(operations))
    pending |= {name for name, shape in shapes.items() if shape.get("exception")}
    used: set[str] = set()
    while pending:
        name = pending.pop()
        used.add(name)
        pending |= set(_referenced_shapes(shapes[name])) - used
    service["shapes"] = _filter(shapes, used)


def _referenced_shapes(part: Any) -> Iterator[str]:
    """Yield the names of the shapes to which a part of a service's description refers."""
    if isinstance(part, dict):
        if isinstance(part.get("shape"), str):
            yield part["shape"]
        part = list(part.values())
    if isinstance(part, list):
        for inner_part in part:
            yield from _referenced_shapes(inner_part)


def _without_documentation(part: Any) -> Any:
    """Return a part of a description without its documentation texts.

    The texts in `clientContextParams` stay, because botocore reads them when it creates a client.
    """
    if isinstance(part, list):
        return [_without_documentation(inner_part) for inner_part in part]
    if not isinstance(part, dict):
        return part
    return {
        name: inner_part if name == "clientContextParams" else _without_documentation(inner_part)
        for name, inner_part in part.items()
        if not (name == "documentation" and isinstance(inner_part, str))
    }


def _filter(values: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in names}


def _read(file: Path) -> dict[str, Any]:
    data = file.read_bytes()
    if file.suffix == ".gz":
        data = gzip.decompress(data)
    content: dict[str, Any] = json.loads(data)
    return content


def _write(file: Path, content: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(content, separators=(",", ":")), encoding="utf-8")


# Patterns of modules that our code doesn't import but an app's code may.
_USED_BY_APPS = (
    "pydantic/v1",
    "dateutil/zoneinfo/*.tar.gz",  # time zones, for machines that have none
    *(f"aws_lambda_powertools/utilities/{name}" for name in _POWERTOOLS),
)


def prune(tree: Path, services: Set[str], *, has_app: bool) -> None:
    """Remove the files in a folder of dependencies that no function can use.

    `services` are the AWS services that the code calls. Pass has_app=False if no app's code will
    use the folder.
    """
    patterns = _NEVER_USED if has_app else _NEVER_USED + _USED_BY_APPS
    for pattern in patterns:
        for path in list(tree.glob(pattern)):
            if path.is_dir():
                shutil.rmtree(path)
            elif path.suffix != ".py" or "*" not in pattern:  # a wildcard removes no modules
                path.unlink()
    trim(tree / "botocore" / "data", services)
    for metadata in tree.glob("*.dist-info/METADATA"):
        _drop_description(metadata)
    for record in tree.glob("*.dist-info/RECORD"):
        _list_files(tree, record)


def _drop_description(metadata: Path) -> None:
    """Keep only the fields of a distribution's metadata, without the description below them.

    pydantic's description includes its changelog.
    """
    fields, _, _ = metadata.read_text(encoding="utf-8").partition("\n\n")
    metadata.write_text(f"{fields}\n", encoding="utf-8")


def _list_files(tree: Path, record: Path) -> None:
    """Make a distribution's RECORD list only the remaining files, without hashes and sizes.

    botocore's RECORD would list the data of all services, and hashes make the zip larger.
    """
    with record.open(newline="") as file:
        names = [row[0] for row in csv.reader(file)]
    with record.open("w", newline="") as file:
        rows = [[name, "", ""] for name in names if (tree / name).exists()]
        csv.writer(file, lineterminator="\n").writerows(rows)
