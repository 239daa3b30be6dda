"""Remove the files of installed dependencies that no function can use."""

import csv
import shutil
from collections.abc import Set
from pathlib import Path

from job_runners.building.botocore_data import trim

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
# Patterns of modules that our code doesn't import but an app's code may.
_USED_BY_APPS = (
    "pydantic/v1",
    "dateutil/zoneinfo/*.tar.gz",  # time zones, for machines that have none
    *(f"aws_lambda_powertools/utilities/{name}" for name in _POWERTOOLS),
)


def prune(tree: Path, services: Set[str], *, has_app: bool) -> None:
    """Prune a folder of dependencies.

    `services` are the AWS services that the code calls. Pass has_app=False if no app's code will
    use the folder.
    """
    patterns = _NEVER_USED if has_app else _NEVER_USED + _USED_BY_APPS
    for pattern in patterns:
        for path in list(tree.glob(pattern)):
            if path.is_dir():
                shutil.rmtree(path)
            elif path.suffix != ".py" or "*" not in pattern:  # a wildcard means no modules
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
