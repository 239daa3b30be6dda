"""Remove the files of installed dependencies that no function can use."""

import csv
import shutil
from collections.abc import Set
from pathlib import Path

from job_runners.building.botocore_data import trim

# Console scripts, the scripts and styles of Powertools' API page, type stubs, pydantic's mypy
# plugin, the list of libraries compiled into pydantic, and time zone tables that only people and
# zone compilers read.
_NEVER_USED = (
    "bin",
    *(".lock", "*.dist-info/uv_cache.json"),  # uv's own notes, with times
    "aws_lambda_powertools/event_handler/openapi/swagger_ui/*.*s*",
    "**/*.pyi",
    "pydantic/mypy.py",
    "*.dist-info/sboms",
    *("tzdata/zoneinfo/*.tab", "tzdata/zoneinfo/tzdata.zi", "tzdata/zoneinfo/leapseconds"),
)
# Modules that our code doesn't import but an app's code may: pydantic v1, the time zones of
# dateutil for machines that have none, and utilities of Powertools.
_NOT_OURS = (
    "pydantic/v1",
    "dateutil/zoneinfo/*.tar.gz",
    *(
        f"aws_lambda_powertools/utilities/{name}"
        for name in (
            *("auth_alpha", "batch", "circuit_breaker", "data_masking", "feature_flags"),
            *("idempotency", "kafka", "parser", "streaming", "validation"),
        )
    ),
)


def prune(tree: Path, services: Set[str], *, ours_alone: bool) -> None:
    """Prune a folder of dependencies. With `ours_alone`, no app's code will use the folder."""
    for pattern in _NEVER_USED + (_NOT_OURS if ours_alone else ()):
        for found in list(tree.glob(pattern)):
            if found.is_dir():
                shutil.rmtree(found)
            elif found.suffix != ".py" or "*" not in pattern:
                found.unlink()
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
    """Make a distribution's RECORD list only the files that are left, without their hashes.

    botocore's would list the data of all its services. Hashes don't compress.
    """
    with record.open(newline="") as file:
        kept = [[row[0], "", ""] for row in csv.reader(file) if (tree / row[0]).exists()]
    with record.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(kept)
