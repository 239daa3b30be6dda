"""Write CSV that spreadsheets show as text and never run as formulas."""

import csv
import io
import re
from collections.abc import Iterable

CONTENT_TYPE = "text/csv; charset=utf-8"

# The last four are the full-width forms of = + - and @, which some spreadsheets treat the same.
_BEGINNINGS = r"=+\-@\uff1d\uff0b\uff0d\uff20"
_FORMULA = re.compile(rf"[{_BEGINNINGS}\t\r\n]")
_NUMBER = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]+)?")
# Unless a value starts with a quote, some spreadsheets split it at semicolons (in locales where
# they separate lists) or at tabs (if set as the separator). Others ignore quotes and split at line
# ends. The text after the split is then a cell of its own.
_INNER_FORMULA = re.compile(
    rf"(?<=[;\t\r\n])([\" ]*+)(?=[{_BEGINNINGS}])(?!{_NUMBER.pattern}(?:[;\t\r\n]|\Z))"
)


class CsvText:
    """A writer of CSV lines, which it buffers until `take` is called."""

    def __init__(self) -> None:
        self._text = io.StringIO(newline="")
        self._writer = csv.writer(self._text)

    def add(self, values: Iterable[str]) -> None:
        """Write one line."""
        self._writer.writerow(map(escaped, values))

    def take(self) -> bytes:
        """Return the lines since the last call, as UTF-8, and clear the buffer."""
        text = self._text.getvalue()
        self._text.seek(0)
        self._text.truncate()
        return text.encode()

    def __len__(self) -> int:
        """Return the number of characters in the buffer."""
        return self._text.tell()


def escaped(value: str) -> str:
    """Put an apostrophe before every part of a value that a spreadsheet would run as a formula.

    That can be its beginning, or the text after a semicolon, tab or line end. A plain number isn't
    a formula, even with a sign: +12125550123 stays unchanged.
    """
    value = _INNER_FORMULA.sub(r"\1'", value)
    if _FORMULA.match(value) and not _NUMBER.fullmatch(value):
        return "'" + value
    return value
