"""Contacts files of any size, whose import has a known outcome; contacts that make a large file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from following import contacts_table
from job_runners.cli.stack import Stack
from stack_clients import session

NOTE = "x" * 10_000

_EVERY_INVALID = 100
_EVERY_REPEATED = 50


@dataclass(frozen=True)
class Expected:
    """What an import of such a file counts."""

    imported: int
    invalid: int
    repeated: int


def write_contacts(path: Path, rows: int) -> Expected:
    """Return a file of so many rows, at most 1,000,000: a number that is no number, and one that
    has been there before, at fixed distances."""
    with path.open("w") as file:
        file.write("first_name,last_name,cell,zip\n")
        for row in range(rows):
            cell = _number(row - 1 if _is_repeated(row) else row)
            cell = "555-0123" if _is_invalid(row) else cell
            file.write(f"Ada,Nguyễn,{cell},{row % 100_000:05}\n")
    invalid, repeated = (sum(map(each, range(rows))) for each in (_is_invalid, _is_repeated))
    return Expected(imported=rows - invalid - repeated, invalid=invalid, repeated=repeated)


def count_written(stack: Stack, organization_campaign: str, rows: int) -> int:
    """How many contacts of such a file are in the table, each asked for by its number: a Query of a
    million, page by page, takes the local AWS half an hour."""
    dynamodb = session(stack).client("dynamodb", endpoint_url=stack.endpoint_url)
    table, campaign = contacts_table(stack), {"S": organization_campaign}
    cells = [_number(row) for row in range(rows) if not _is_invalid(row) | _is_repeated(row)]
    found = 0
    for first in range(0, len(cells), 100):
        keys: list[Any] = [
            {"organization_campaign": campaign, "cell": {"S": cell}}
            for cell in cells[first : first + 100]
        ]
        asked: Any = {table: {"Keys": keys, "ProjectionExpression": "cell"}}
        answer = dynamodb.batch_get_item(RequestItems=asked)
        assert not answer["UnprocessedKeys"]
        found += len(answer["Responses"][table])
    return found


def _number(row: int) -> str:
    return f"+1212{2_000_000 + row}"


def _is_invalid(row: int) -> bool:
    return row % _EVERY_INVALID == 7


def _is_repeated(row: int) -> bool:
    return row % _EVERY_REPEATED == 20


def write_wide_contacts(stack: Stack, organization_campaign: str, count: int) -> list[str]:
    """Contacts with a NOTE each, so that their export has several parts; returns their numbers."""
    cells = [f"+1212{2_000_000 + number}" for number in range(count)]
    dynamodb = session(stack).client("dynamodb", endpoint_url=stack.endpoint_url)
    for first in range(0, count, 25):
        puts: list[Any] = [
            {"PutRequest": {"Item": _wide(organization_campaign, cell)}}
            for cell in cells[first : first + 25]
        ]
        answer = dynamodb.batch_write_item(RequestItems={contacts_table(stack): puts})
        assert not answer["UnprocessedItems"]
    return cells


def _wide(organization_campaign: str, cell: str) -> dict[str, Any]:
    return {
        "organization_campaign": {"S": organization_campaign},
        "cell": {"S": cell},
        "first_name": {"S": "Ada"},
        "last_name": {"S": "Nguyễn"},
        "custom_fields": {"M": {"note": {"S": NOTE}}},
    }
