"""Read the records of a CSV file from any record's byte offset, with one block in memory."""

import csv
from collections.abc import Callable, Iterator
from typing import NamedTuple

BLOCK = 1024 * 1024  # bytes read at a time
LONGEST_RECORD = 1024 * 1024  # bytes; a longer record most likely has an open quote
csv.field_size_limit(LONGEST_RECORD)

_NO_VALUE = ' \t\r\n",;'  # a record without any value has only these
_BOM = b"\xef\xbb\xbf"
_UTF_16_BOMS = (b"\xff\xfe", b"\xfe\xff")


class Source(NamedTuple):
    """A file. `read(start, end)` returns its bytes from `start` up to but not including `end`."""

    size: int
    read: Callable[[int, int], bytes]


class Position(NamedTuple):
    """A position between two records: the number of bytes, rows and lines before it.

    Spreadsheets count rows and editors count lines. A quoted field may span several lines.
    """

    offset: int = 0
    row: int = 0
    line: int = 0


class Record(NamedTuple):
    """One record: its fields (none if all are empty), and the positions before and after it."""

    fields: list[str]
    start: Position
    end: Position


class UnreadableRecord(Exception):
    """The file can't be read at some position. The message says where and why."""


def records(source: Source, delimiter: str, start: Position) -> Iterator[Record]:
    """Yield the records from `start` to the end of the file.

    A record without any value is yielded without fields, so that the caller sees progress even if
    all records are empty. The rules are those of Python's csv module, but an open quote or a record
    over LONGEST_RECORD raises UnreadableRecord.
    """
    end, is_over = start, False

    def lines() -> Iterator[str]:
        """Yield the lines that the csv module asks for. It never reads ahead of a record."""
        nonlocal end, is_over
        for line in _lines(source, start.offset):
            text = _decode(line.removeprefix(_BOM) if end.offset == 0 else line)
            end = end._replace(offset=end.offset + len(line), line=end.line + 1)
            if end.offset - start.offset > LONGEST_RECORD:
                raise UnreadableRecord(
                    f"the record that starts in line {start.line + 1} is longer than "
                    f"{LONGEST_RECORD:,} bytes; it may have an open quote"
                )
            yield text
        is_over = True
        yield ""  # becomes a record of its own, unless a quote is open

    for fields in csv.reader(lines(), delimiter=delimiter):
        if is_over:
            if end != start:
                raise UnreadableRecord(f"the quote in line {start.line + 1} is never closed")
            return
        end = end._replace(row=end.row + 1)
        yield Record(fields if any(each.strip(_NO_VALUE) for each in fields) else [], start, end)
        start = end


def _lines(source: Source, offset: int) -> Iterator[bytes]:
    """Yield the lines from a byte offset on, with their ends. A longer line than LONGEST_RECORD may
    be cut."""
    rest = b""
    while offset < source.size:
        block = source.read(offset, min(offset + BLOCK, source.size))
        if offset == 0 and block.startswith(_UTF_16_BOMS):
            raise UnreadableRecord("the file is UTF-16; save it as CSV UTF-8")
        offset += len(block)
        # The last line may continue in the next block, even after a carriage return.
        *whole, rest = (rest + block).splitlines(keepends=True)
        yield from whole
        if len(rest) > LONGEST_RECORD:
            break
    if rest:
        yield rest


def _decode(line: bytes) -> str:
    """Decode UTF-8, or else Windows-1252. A file may be merged from several files, so one odd line
    must not change how the others are read."""
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("cp1252", errors="replace")  # five byte values are undefined there
