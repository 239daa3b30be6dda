"""Takes out of the installed dependencies what no function can use."""

import csv
import shutil
from pathlib import Path

from tools.botocore_data import Operations, trim

# Console scripts, a page with its scripts that shows an API of Powertools' own, types, pydantic's
# plugin for mypy, the list of what is compiled into it, and tables of time zones that are for
# people, and for those who compile them.
_NEVER_USED = (
    "bin",
    "aws_lambda_powertools/event_handler/openapi/swagger_ui/*.*s*",
    "**/*.pyi",
    "pydantic/mypy.py",
    "*.dist-info/sboms",
    *("tzdata/zoneinfo/*.tab", "tzdata/zoneinfo/tzdata.zi", "tzdata/zoneinfo/leapseconds"),
)
# What an organisation's work may yet import, and ours does not: pydantic's former version, the time
# zones of dateutil, for machines that have none, and helpers of Powertools.
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


def prune(tree: Path, operations: Operations, *, ours_alone: bool) -> None:
    """Cut down a folder of dependencies; `ours_alone` says that no other work will be in it."""
    for pattern in _NEVER_USED + (_NOT_OURS if ours_alone else ()):
        for found in list(tree.glob(pattern)):
            if found.is_dir():
                shutil.rmtree(found)
            elif found.suffix != ".py" or "*" not in pattern:
                found.unlink()
    trim(tree / "botocore" / "data", operations)
    for metadata in tree.glob("*.dist-info/METADATA"):
        _drop_description(metadata)
    for record in tree.glob("*.dist-info/RECORD"):
        _drop_what_is_gone(tree, record)


def _drop_description(metadata: Path) -> None:
    """Keep only the fields of a distribution's metadata. Below them is its page for people, which
    for pydantic includes its changes."""
    fields, _, _ = metadata.read_text(encoding="utf-8").partition("\n\n")
    metadata.write_text(f"{fields}\n", encoding="utf-8")


def _drop_what_is_gone(tree: Path, record: Path) -> None:
    """Have a distribution's list of its files name those that are there. botocore's is as long as
    the data of all its services."""
    with record.open(newline="") as file:
        kept = [row for row in csv.reader(file) if (tree / row[0]).exists()]
    with record.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(kept)
