"""What an import has found in a file so far: the phone numbers and the rejected rows."""

from array import array
from bisect import bisect_left
from collections.abc import Iterator

from campaign.csv_text import CsvText
from campaign.pieces import Pieces

# The numbers are spread over many sorted shelves. Bisection finds a number on its shelf, and even
# among ten million numbers an insertion moves only a few kilobytes.
_SHELVES = 4096


class SeenNumbers:
    """A set of E.164 numbers. It starts with those that earlier invocations saved."""

    def __init__(self, saved: Pieces) -> None:
        self._saved = saved
        self._shelves = [array("Q") for _ in range(_SHELVES)]
        self._unsaved = array("Q")
        for data in saved.read():
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

    def save(self) -> None:
        """Save the numbers that were added since the last call."""
        self._saved.add(self._unsaved.tobytes())
        self._unsaved = array("Q")


class RejectedRows:
    """The rejected rows, after those that earlier invocations saved."""

    def __init__(self, saved: Pieces, names: list[str]) -> None:
        self._saved = saved
        self._names = names
        self._text = CsvText()

    def add(self, row: int, reason: str, fields: list[str]) -> None:
        """Add a rejected row. `row` is its number in the file, and the header has number 1."""
        self._text.add([str(row), reason, *fields])

    def save(self) -> None:
        """Save the rows that were added since the last call."""
        self._saved.add(self._text.take())

    def file(self) -> Iterator[bytes]:
        """Yield the file of all rejected rows in pieces."""
        self._text.add(["row", "reason", *self._names])
        yield self._text.take()
        yield from self._saved.read()
