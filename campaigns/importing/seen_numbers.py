"""The phone numbers that an import has met so far: 8 bytes each, in memory and in the bucket."""

from array import array
from bisect import bisect_left

from campaigns.importing.import_chunks import Segments

# Each number has its place on one of many sorted shelves: found by bisection, and put there by
# moving a few kilobytes even among ten million.
_SHELVES = 4096


class SeenNumbers:
    """A set of E.164 numbers that begins with what `segments` holds from earlier invocations."""

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
        """Whether the number is new; from now on it is not."""
        number = int(cell[1:])
        shelf = self._shelves[number % _SHELVES]
        place = bisect_left(shelf, number)
        if place < len(shelf) and shelf[place] == number:
            return False
        shelf.insert(place, number)
        self._unsaved.append(number)
        return True

    def save(self, start: int, end: int) -> None:
        """Keep the numbers first met between these offsets of the file."""
        self._segments.add(start, end, self._unsaved.tobytes())
        self._unsaved = array("Q")
