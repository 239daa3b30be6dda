"""The rows that an import did not take, each with its reason, as a CSV file to fix and retry."""

from collections.abc import Callable, Iterator

from campaigns.csv_text import CsvText
from campaigns.importing.import_chunks import Segments


class RejectedRows:
    """Rows rejected so far: those of the earlier invocations are in `segments`."""

    def __init__(self, segments: Segments, names: list[str]) -> None:
        self._segments = segments
        self._names = names
        self._text = CsvText()

    def add(self, row: int, reason: str, fields: list[str]) -> None:
        """Reject a row; `row` is its number in the file, the header's being 1."""
        self._text.add([str(row), reason, *fields])

    def save(self, start: int, end: int) -> None:
        """Keep the rows rejected between these offsets of the file."""
        self._segments.add(start, end, self._text.take())

    def pieces(self, report: Callable[[], None]) -> Iterator[bytes]:
        """Yield the file of all of them, piece by piece; `report` is called before each."""
        self._text.add(["row", "reason", *self._names])
        yield self._text.take()
        for piece in self._segments.read():
            report()
            yield piece
