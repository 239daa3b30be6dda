"""Contacts files of any size, whose import has a known outcome; contacts that make a large file."""

from pathlib import Path
from typing import Any

from cli.stack import Stack
from local.emulator import session
from local.sample import Expected

NOTE = "x" * 10_000

_EVERY_INVALID = 100
_EVERY_REPEATED = 50


def write_contacts(path: Path, rows: int, area: int = 212) -> Expected:
    """A file of so many rows, at most 1,000,000: a number that is no number, and one that has been
    there before, at fixed distances."""
    invalid = repeated = 0
    with path.open("w") as file:
        file.write("first_name,last_name,cell,zip\n")
        for row in range(rows):
            cell = f"+1{area}{2_000_000 + row}"
            if row % _EVERY_INVALID == 7:
                cell, invalid = "555-0123", invalid + 1
            elif row % _EVERY_REPEATED == 20:
                cell, repeated = f"+1{area}{2_000_000 + row - 1}", repeated + 1
            file.write(f"Ada,Nguyễn,{cell},{row % 100_000:05}\n")
    return Expected(imported=rows - invalid - repeated, invalid=invalid, repeated=repeated)


def write_wide_contacts(stack: Stack, organization_campaign: str, count: int) -> list[str]:
    """Contacts with a NOTE each, so that their export has several parts; returns their numbers."""
    cells = [f"+1212{2_000_000 + number}" for number in range(count)]
    dynamodb = session().client("dynamodb", endpoint_url=stack.endpoint_url)
    for first in range(0, count, 25):
        puts: list[Any] = [
            {"PutRequest": {"Item": _wide(organization_campaign, cell)}}
            for cell in cells[first : first + 25]
        ]
        answer = dynamodb.batch_write_item(RequestItems={stack.contacts_table_name: puts})
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
