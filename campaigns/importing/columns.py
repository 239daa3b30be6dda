"""Which column of a contacts file holds what, whatever the file's author called it."""

import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import NamedTuple

from campaigns.errors import MissingColumns

REQUIRED = ("first_name", "last_name", "cell")

# Spelt as _plain() leaves them. Where a file has several of one line, the first here is taken and
# the others are custom fields.
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
_FIELD = {spelling: field for field, spellings in _SPELLINGS.items() for spelling in spellings}
MOST_COLUMNS = 1000
_COMPARED = 50  # characters of a name that are compared with a field's: comparing is slow


class Columns(NamedTuple):
    """The places of a contact's fields in each row of a file, and the names of all others."""

    names: list[str]  # as the file has them
    first_name: int
    last_name: int
    cell: int
    zip: int | None
    external_id: int | None
    custom: list[tuple[int, str]]


def recognised(names: Sequence[str]) -> int:
    """How many of a contact's fields these column names stand for."""
    found = map(_plain, names[:MOST_COLUMNS])
    return len({_FIELD[plain] for plain in found if plain in _FIELD})


def columns(names: list[str]) -> Columns:
    """Find each field by its column's name, of MOST_COLUMNS at most; raises MissingColumns."""
    plain = [_plain(name) for name in names]
    places = {
        field: next((plain.index(each) for each in spellings if each in plain), None)
        for field, spellings in _SPELLINGS.items()
    }
    missing = [field for field in REQUIRED if places[field] is None]
    if missing:
        raise _missing(missing, names, plain)
    custom = [place for place in range(len(names)) if place not in places.values()]
    return Columns(names=names, custom=_named(custom, names), **places)  # type: ignore[arg-type]


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name).lower()


def _named(places: list[int], names: list[str]) -> list[tuple[int, str]]:
    """Return a name for each place: the column's own, numbered where it has none or one taken
    before."""
    taken: set[str] = set()
    counts: dict[str, int] = {}  # the last number that a name was given: trying each is quadratic
    named = []
    for place in places:
        own = names[place].strip() or f"column {place + 1}"
        name, count = own, counts.get(own, 1)
        while name in taken:
            count += 1
            name = f"{own} {count}"
        taken.add(name)
        counts[own] = count
        named.append((place, name))
    return named


def _missing(fields: list[str], names: list[str], plain: list[str]) -> MissingColumns:
    """Return what is missing. Of the file's own words only those that are nearly a column's name,
    and only from a row where others are: without a header the first row is somebody's name and
    number, and errors are logged."""
    known: dict[str, str] = {}
    if recognised(names):
        known = {
            each[:_COMPARED]: name
            for each, name in zip(plain, names, strict=True)
            if each not in _FIELD
        }
    nearest: dict[str, str | None] = {}
    for field in fields:
        close = [
            match
            for spelling in _SPELLINGS[field]
            for match in get_close_matches(spelling, known, n=1, cutoff=0.6)
        ]
        nearest[field] = known[close[0]].strip()[:_COMPARED] if close else None
    return MissingColumns(nearest, len(names), has_header=recognised(names) > 0)
