"""What an import has found in a file so far, kept in the job's work files for later invocations:
the phone numbers that it has seen, and the rejected rows."""

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator

from campaign.csv_text import CsvText
from job_runners.work import RunningJob

# Bytes. Segments up to this size may be merged, so that a cursor lists few of them.
_LARGE = 4 * 1024 * 1024
# The numbers are spread over many sorted shelves. Bisection finds a number on its shelf, and even
# among ten million numbers an insertion moves only a few kilobytes.
_SHELVES = 4096


class Segments:
    """Findings about successive ranges of a file, as work files that are named by their ranges.

    The findings in a range depend only on the file. If an invocation was wrongly taken for dead,
    its successor may split the file differently. But the two never write different bytes under one
    name. This class deletes nothing, so an older cursor still finds the files that it lists.
    """

    def __init__(self, job: RunningJob, name: str, saved: list[list[int]]) -> None:
        self._job = job
        self._name = name
        self._saved = [list(each) for each in saved]

    def add(self, start: int, end: int, data: bytes) -> None:
        """Save the findings between the bytes `start` and `end`, after all those added before."""
        if not data:
            return
        # Merging only with segments that aren't much larger rewrites each byte only a few times.
        while self._saved and self._saved[-1][2] <= min(2 * len(data), _LARGE):
            earlier = self._saved.pop()
            data = self._read(earlier) + data
            start = earlier[0]
        self._job.write_file(self._key(start, end), data)
        self._saved.append([start, end, len(data)])

    def read(self) -> Iterator[bytes]:
        """Yield everything that was saved, in order, one segment at a time."""
        yield from map(self._read, self._saved)

    @property
    def cursor(self) -> list[list[int]]:
        """The start, end and length of each segment, which another invocation passes as `saved`."""
        return [list(each) for each in self._saved]

    def _read(self, segment: list[int]) -> bytes:
        return self._job.read_file(self._key(segment[0], segment[1]))

    def _key(self, start: int, end: int) -> str:
        return self._job.work_file(f"{self._name}/{start}-{end}")


class SeenNumbers:
    """A set of E.164 numbers. It starts with those that earlier invocations put into `segments`."""

    def __init__(self, segments: Segments) -> None:
        self._segments = segments
        self._shelves = [array("Q") for _ in range(_SHELVES)]
        self._unsaved = array("Q")
        for data in segments.read():
            # Little-endian on every processor that Lambda has.
            for number in array("Q", data):
                self._shelves[number % _SHELVES].append(number)
        self._shelves = [array("Q", sorted(shelf)) for shelf in self._shelves]

    def add(self, cell: str) -> bool:
        """Add a number, and return whether it was new."""
        number = int(cell[1:])
        shelf = self._shelves[number % _SHELVES]
        index = bisect_left(shelf, number)
        if index < len(shelf) and shelf[index] == number:
            return False
        shelf.insert(index, number)
        self._unsaved.append(number)
        return True

    def save(self, start: int, end: int) -> None:
        """Save the numbers that were first seen between these offsets of the file."""
        self._segments.add(start, end, self._unsaved.tobytes())
        self._unsaved = array("Q")


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
