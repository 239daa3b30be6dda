"""Contacts files of any size, whose import has a known outcome."""

from pathlib import Path

from local.sample import Expected

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
