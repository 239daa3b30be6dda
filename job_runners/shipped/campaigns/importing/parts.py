"""Split a large contacts file into parts, whose contacts are written by jobs of their own."""

from array import array
from bisect import bisect_left
from collections.abc import Iterator
from itertools import pairwise

from job_runners.shipped.campaigns.importing.csv_records import Position, Record
from job_runners.shipped.campaigns.importing.import_chunks import Segments
from job_runners.work.running_job import RunningJob

PART_BYTES = 8 * 1024 * 1024


class FileParts:
    """The parts of a file, and the rows of each that must not be imported.

    Only the import sees whether an earlier row has the same number, so it tells each part which
    rows to skip. `starts` has the starts of the parts so far. `skipped` has the saved rows of the
    part that isn't full yet.
    """

    def __init__(
        self, job: RunningJob, folder: str, starts: list[list[int]], skipped: list[list[int]]
    ) -> None:
        self._job = job
        self._starts = [Position(*each) for each in starts]
        self._prefix = f"{folder}/skipped"
        self._segments = Segments(self._prefix, skipped)
        self._unsaved = array("Q")

    def skip(self, row: Record) -> None:
        """Note that a row must not be imported."""
        self._unsaved.append(row.start.row)

    def save(self, start: int, end: Position, *, is_last: bool) -> None:
        """Save the skipped rows between these positions. If the part is full, begin another one.

        `is_last` says that the file ends here.
        """
        self._segments.add(start, end.offset, self._unsaved.tobytes())
        self._unsaved = array("Q")
        if is_last or end.offset - self._starts[-1].offset >= PART_BYTES:
            key = self._skipped_key(self._starts[-1], end)
            self._job.write_file(key, b"".join(self._segments.read()))
            self._starts.append(end)
            self._segments = Segments(self._prefix, [])

    def __iter__(self) -> Iterator[tuple[Position, int, str]]:
        """Yield the start and the end of each full part, and the key of its skipped rows."""
        for start, end in pairwise(self._starts):
            yield start, end.offset, self._skipped_key(start, end)

    @property
    def cursor(self) -> list[list[list[int]]]:
        """The state from which another invocation continues."""
        return [[list(each) for each in self._starts], self._segments.cursor]

    def _skipped_key(self, start: Position, end: Position) -> str:
        # A result file, because the jobs that import the parts read it.
        return self._job.result_file(f"skipped/{start.offset}-{end.offset}")


class SkippedRows:
    """The rows of a part that must not be imported."""

    def __init__(self, data: bytes) -> None:
        self._rows = array("Q", data)  # in order; 8 bytes each, because they may be millions

    def __contains__(self, row: Record) -> bool:
        index = bisect_left(self._rows, row.start.row)
        return index < len(self._rows) and self._rows[index] == row.start.row
