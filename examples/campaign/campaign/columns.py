"""Find a contact's fields in the columns of a file, under any common name."""

import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import NamedTuple

from campaign.errors import MissingColumns

REQUIRED = ("first_name", "last_name", "cell")

# The column names of each field, as _normalized() returns them. If a file has several names of one
# field, the first in this order is used, and the others are custom fields.
_SPELLINGS = {
    "first_name": ("firstname", "givenname", "forename", "first"),
    "last_name": ("lastname", "surname", "familyname", "last"),
    "cell": (
        *("cell", "cellphone", "cellnumber", "cellphonenumber"),
        *("mobile", "mobilephone", "mobilenumber", "mobilephonenumber"),
        *("phone", "phonenumber", "telephone", "telephonenumber", "tel"),
    ),
    "zip": ("zip", "zipcode", "postcode", "postalcode"),
    "external_id": ("externalid",),
}
_FIELD_OF = {spelling: field for field, spellings in _SPELLINGS.items() for spelling in spellings}
MOST_COLUMNS = 1000
# Characters of a name that are compared with field names. More would be slow.
_COMPARED_LENGTH = 50


class Columns(NamedTuple):
    """The indexes of a contact's fields in a file's rows, and the names of the other columns."""

    names: list[str]  # as written in the file
    first_name: int
    last_name: int
    cell: int
    zip: int | None
    external_id: int | None
    custom: list[tuple[int, str]]

    @property
    def names_size(self) -> int:
        """Return the size of the names, which each contact stores."""
        return sum(map(len, self.names))


def count_recognized(names: Sequence[str]) -> int:
    """Return the number of a contact's fields that these column names match."""
    found = map(_normalized, names[:MOST_COLUMNS])
    return len({_FIELD_OF[plain] for plain in found if plain in _FIELD_OF})


def columns(names: list[str]) -> Columns:
    """Find each field by its column's name, in at most MOST_COLUMNS. Raises MissingColumns."""
    plain = [_normalized(name) for name in names]
    indexes = {
        field: next((plain.index(each) for each in spellings if each in plain), None)
        for field, spellings in _SPELLINGS.items()
    }
    missing = [field for field in REQUIRED if indexes[field] is None]
    if missing:
        raise _missing_columns(missing, names, plain)
    custom = [index for index in range(len(names)) if index not in indexes.values()]
    return Columns(names=names, custom=_unique_names(custom, names), **indexes)  # type: ignore[arg-type]


def _normalized(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name).lower()


def _unique_names(indexes: list[int], names: list[str]) -> list[tuple[int, str]]:
    """Return a unique name for each column.

    This is the column's own name, or `column` and its number if it has none. If an earlier column
    has the same name, a number is added.
    """
    taken: set[str] = set()
    counts: dict[str, int] = {}  # the last number of each name, because trying all is quadratic
    unique_names = []
    for index in indexes:
        own = names[index].strip() or f"column {index + 1}"
        name, count = own, counts.get(own, 1)
        while name in taken:
            count += 1
            name = f"{own} {count}"
        taken.add(name)
        counts[own] = count
        unique_names.append((index, name))
    return unique_names


def _missing_columns(fields: list[str], names: list[str], plain: list[str]) -> MissingColumns:
    """Return the error about missing columns.

    It quotes only names from the file that are similar to a missing column's, and only if the row
    has other known names. Without a header, the first row has a person's name and number, which
    must not get into an error, because errors are logged.
    """
    known: dict[str, str] = {}
    if count_recognized(names):
        known = {
            each[:_COMPARED_LENGTH]: name
            for each, name in zip(plain, names, strict=True)
            if each not in _FIELD_OF
        }
    nearest: dict[str, str | None] = {}
    for field in fields:
        close = [
            match
            for spelling in _SPELLINGS[field]
            for match in get_close_matches(spelling, known, n=1, cutoff=0.6)
        ]
        nearest[field] = known[close[0]].strip()[:_COMPARED_LENGTH] if close else None
    return MissingColumns(nearest, len(names), has_header=count_recognized(names) > 0)
