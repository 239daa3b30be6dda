"""Read a contacts file in the bucket: the names of its columns, and its rows from any position."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from campaign.errors import UnusableFile
from job_runners.work import MissingObject, ObjectChanged, RunningJob

REQUIRED = ("first_name", "last_name", "cell")
LONGEST_HEADER = 8 * 1024  # bytes; each contact stores the names of its custom fields
LONGEST_ROW = 1024 * 1024  # bytes; a longer row most likely has an open quote
csv.field_size_limit(LONGEST_ROW)

# One chunk is in memory at a time, and may be repeated after an interruption. After each chunk, the
# job checks whether it was canceled. A chunk of any file takes only seconds.
CHUNK_ROWS = 1000
CHUNK_BYTES = 256 * 1024  # with empty rows


class Position(NamedTuple):
    """A position between two rows: the number of bytes and of rows before it."""

    offset: int = 0
    row: int = 0


class Row(NamedTuple):
    """A row of the file: its values (none if all are empty), and the position after it."""

    values: list[str]
    end: Position


class ContactsFile:
    """One version of the file, with its `columns` and the position of its `first_row`.

    `etag` is the version that an earlier invocation read. Raises UnusableFile if the file has a
    mistake that its author must fix. Its message quotes nothing from the file, because errors are
    logged, and a file without a header has a person's name and number in its first row.
    """

    def __init__(self, job: RunningJob, key: str, etag: str | None) -> None:
        self.key = key
        with self._errors():
            self._file = job.open_file(key, etag=etag)
            self.size, self.etag = self._file.size, self._file.etag
            header = next((row for row in self._rows(Position()) if row.values), None)
        if header is None:
            raise UnusableFile(key, "the file has no rows, not even a header")
        self.columns = [name.strip() for name in header.values]
        self.first_row = header.end
        missing = [name for name in REQUIRED if name not in self.columns]
        if missing:
            raise UnusableFile(key, f"the first row names no column {', '.join(missing)}")
        if header.end.offset > LONGEST_HEADER:
            raise UnusableFile(key, f"the first row is longer than {LONGEST_HEADER:,} bytes")
        if len(set(self.columns) - {""}) < len(self.columns):
            raise UnusableFile(key, "the first row needs a different name for each column")

    def chunks(self, start: Position) -> Iterator[list[Row]]:
        """Yield the rows from `start` to the end in chunks of bounded size, none of them empty."""
        chunk: list[Row] = []
        with self._errors():
            for row in self._rows(start):
                chunk.append(row)
                if len(chunk) == CHUNK_ROWS or row.end.offset - start.offset >= CHUNK_BYTES:
                    yield chunk
                    chunk, start = [], row.end
        if chunk:
            yield chunk

    def _rows(self, end: Position) -> Iterator[Row]:
        start = end
        self._file.seek(start.offset)

        def lines() -> Iterator[str]:
            """Yield the lines that the csv module asks for. It never reads ahead of a row."""
            nonlocal end
            while line := self._file.readline(LONGEST_ROW + 1):
                encoding = "utf-8" if end.offset else "utf-8-sig"
                end = Position(end.offset + len(line), start.row + 1)
                if end.offset - start.offset > LONGEST_ROW:
                    raise csv.Error(f"longer than {LONGEST_ROW:,} bytes; it may have an open quote")
                yield line.decode(encoding)

        try:
            for values in csv.reader(lines(), strict=True):
                yield Row(values if any(map(str.strip, values)) else [], end)
                start = end
        except UnicodeDecodeError:
            why = f"row {start.row + 1:,} isn't UTF-8; save the file as CSV UTF-8"
            raise UnusableFile(self.key, why) from None
        except csv.Error as error:
            raise UnusableFile(self.key, f"row {start.row + 1:,}: {error}") from error

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Convert errors of the bucket into UnusableFile."""
        try:
            yield
        except MissingObject as error:
            raise UnusableFile(self.key, "the file doesn't exist; upload it first") from error
        except ObjectChanged as error:
            why = "the file was replaced during the import; import the new one"
            raise UnusableFile(self.key, why) from error
