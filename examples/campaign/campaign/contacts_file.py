"""Read a contacts file in the bucket: its header, and its rows from any position."""

from collections.abc import Iterator
from contextlib import contextmanager

from campaign.columns import MOST_COLUMNS, columns, count_recognized
from campaign.csv_records import (
    BLOCK,
    Position,
    Record,
    Source,
    UnreadableRecord,
    records,
)
from campaign.errors import UnusableFile
from job_runners.work import MissingObject, ObjectChanged, RunningJob

DELIMITERS = (",", ";", "\t")
LONGEST_HEADER = 64 * 1024  # bytes; each contact stores the names of its custom fields
_CHANGED = "the file was replaced during the import; import the new one"


class ContactsFile:
    """One version of the file, with its `columns` and the position of its `first_row`.

    `etag` is the version that an earlier invocation read. Raises UnusableFile or MissingColumns if
    the file has a mistake that its author must fix.
    """

    def __init__(self, job: RunningJob, key: str, etag: str | None) -> None:
        self.key = key
        with _as_unusable_file(key):
            self._file = job.open_file(key, etag=etag)
            self.size, self.etag = self._file.size, self._file.etag
            self._delimiter, header = self._header()
        _check_size(key, header)
        self.columns = columns(header.fields)
        self.first_row = header.end

    def rows(self, start: Position) -> Iterator[Record]:
        """Yield the rows from `start` to the end. A row without any value has no fields."""
        with _as_unusable_file(self.key):
            yield from records(Source(self.size, self._read), self._delimiter, start)

    def _header(self) -> tuple[str, Record]:
        """Return the delimiter that yields the most known columns, and the first record that it
        yields."""
        if not self.size:
            raise UnusableFile(self.key, "the file is empty")
        head = self._read(0, min(BLOCK, self.size))
        source = Source(len(head), lambda start, end: head[start:end])
        first = {each: _first_record(records(source, each, Position())) for each in DELIMITERS}
        headers = [(each, record) for each, record in first.items() if record is not None]
        if not headers:
            raise UnusableFile(self.key, "the file has no rows, not even a header")
        return max(
            headers, key=lambda pair: (count_recognized(pair[1].fields), len(pair[1].fields))
        )

    def _read(self, start: int, end: int) -> bytes:
        self._file.seek(start)
        return self._file.read(end - start)


def _first_record(found: Iterator[Record]) -> Record | None:
    return next((record for record in found if record.fields), None)


def _check_size(key: str, header: Record) -> None:
    size, count = header.end.offset - header.start.offset, len(header.fields)
    if count > MOST_COLUMNS:
        raise UnusableFile(key, f"its first row has {count:,} columns (limit {MOST_COLUMNS:,})")
    if size > LONGEST_HEADER:
        raise UnusableFile(key, f"its first row has {size:,} bytes (limit {LONGEST_HEADER:,})")


@contextmanager
def _as_unusable_file(key: str) -> Iterator[None]:
    """Convert errors of the bucket and of the reader into UnusableFile."""
    try:
        yield
    except MissingObject as error:
        raise UnusableFile(key, "the file doesn't exist; upload it first") from error
    except ObjectChanged as error:
        raise UnusableFile(key, _CHANGED) from error
    except UnreadableRecord as error:
        raise UnusableFile(key, str(error)) from error
