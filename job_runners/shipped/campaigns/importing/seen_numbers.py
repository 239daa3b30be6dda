"""The phone numbers that an import has seen so far: 8 bytes each, in memory and in the bucket."""

from array import array
from bisect import bisect_left

from job_runners.shipped.campaigns.importing.import_chunks import Segments

# The numbers are spread over many sorted shelves. Bisection finds a number on its shelf, and even
# among ten million numbers an insertion moves only a few kilobytes.
_SHELVES = 4096


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
