"""Writes CSV that a spreadsheet shows as text and never runs as a formula."""

import csv
import io
import re
from collections.abc import Iterable

CONTENT_TYPE = "text/csv; charset=utf-8"

# The last four are the full-width forms of = + - and @: some spreadsheets take them for the same.
_BEGINNINGS = r"=+\-@\uff1d\uff0b\uff0d\uff20"
_FORMULA = re.compile(rf"[{_BEGINNINGS}\t\r\n]")
_NUMBER = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]+)?")
# A spreadsheet set to a language where lists have semicolons, or told that tabs separate columns,
# cuts a value there, unless a quote stands before all of it; one that counts no quotes, at line
# ends. What follows is then a cell of its own.
_INNER_FORMULA = re.compile(
    rf"(?<=[;\t\r\n])([\" ]*+)(?=[{_BEGINNINGS}])(?!{_NUMBER.pattern}(?:[;\t\r\n]|\Z))"
)


class CsvText:
    """CSV being written: lines gather until they are taken."""

    def __init__(self) -> None:
        self._text = io.StringIO(newline="")
        self._writer = csv.writer(self._text)

    def add(self, values: Iterable[str]) -> None:
        """Write one line."""
        self._writer.writerow(map(escaped, values))

    def take(self) -> bytes:
        """Return the lines written since the last call, as UTF-8."""
        text = self._text.getvalue()
        self._text.seek(0)
        self._text.truncate()
        return text.encode()

    def __len__(self) -> int:
        """Return the characters waiting to be taken."""
        return self._text.tell()


def escaped(value: str) -> str:
    """Return the value, with an apostrophe before all that a spreadsheet would take for a formula:
    at its beginning, and after a semicolon, tab or line end.

    A plain number is none, whatever its sign: +12125550123 stays what it is.
    """
    value = _INNER_FORMULA.sub(r"\1'", value)
    if _FORMULA.match(value) and not _NUMBER.fullmatch(value):
        return "'" + value
    return value
