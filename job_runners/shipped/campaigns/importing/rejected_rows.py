"""Collect the rejected rows of an import, with reasons, in a CSV file to fix and import again."""

from collections.abc import Callable, Iterator

from job_runners.shipped.campaigns.csv_text import CsvText
from job_runners.shipped.campaigns.importing.import_chunks import Segments


class RejectedRows:
    """The rejected rows. Those of earlier invocations are in `segments`."""

    def __init__(self, segments: Segments, names: list[str]) -> None:
        self._segments = segments
        self._names = names
        self._text = CsvText()

    def add(self, row: int, reason: str, fields: list[str]) -> None:
        """Add a rejected row. `row` is its number in the file, and the header has number 1."""
        self._text.add([str(row), reason, *fields])

    def save(self, start: int, end: int) -> None:
        """Save the rows that were rejected between these offsets of the file."""
        self._segments.add(start, end, self._text.take())

    def pieces(self, report: Callable[[], None]) -> Iterator[bytes]:
        """Yield the file of all rejected rows in pieces, and call `report` before each."""
        self._text.add(["row", "reason", *self._names])
        yield self._text.take()
        for piece in self._segments.read():
            report()
            yield piece
