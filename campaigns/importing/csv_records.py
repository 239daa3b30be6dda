"""Reads the records of a CSV file from any record's byte offset, holding one block at a time."""

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import NamedTuple

BLOCK = 1024 * 1024  # bytes read at a time
LONGEST_RECORD = 1024 * 1024  # bytes; what is longer is most likely a quote left open

_LINE_END = re.compile(rb"\r\n|\r|\n")
_EMPTY_LINES = re.compile(rb"[\r\n]++")
_NO_VALUE = b' \t\r\n",;'  # what a record without any value is made of
_BOM = b"\xef\xbb\xbf"
_UTF_16_BOMS = (b"\xff\xfe", b"\xfe\xff")


class Source(NamedTuple):
    """A file: `read(start, end)` returns its bytes from `start` up to and without `end`."""

    size: int
    read: Callable[[int, int], bytes]


class Position(NamedTuple):
    """A place between two records: the bytes, rows and lines before it.

    A spreadsheet counts rows and an editor lines: a quoted field may span several lines.
    """

    offset: int = 0
    row: int = 0
    line: int = 0


class Record(NamedTuple):
    """One record: its fields, none if all are empty, and the positions before and after it. Empty
    lines one after another are one record."""

    fields: list[str]
    start: Position
    end: Position


class UnreadableRecord(Exception):
    """No record can be made out here; the message says where and why."""


def records(source: Source, delimiter: str, start: Position) -> Iterator[Record]:
    """Yield the records from `start` to the end of the file. One without any value has no fields:
    it says how far the reader is, in a file that may hold nothing else.

    Read as by Python's csv module, only that a quote left open is an UnreadableRecord, as is a
    record over LONGEST_RECORD. Each is UTF-8 or else Windows-1252: files are put together from
    several, so one odd record must not change how the others are read.
    """
    for raw, before, after in _split(source, _record(delimiter.encode()), start):
        yield Record(_fields(raw, delimiter) if raw.strip(_NO_VALUE) else [], before, after)


def _split(
    source: Source, record: re.Pattern[bytes], position: Position
) -> Iterator[tuple[bytes, Position, Position]]:
    buffer, begin, read_to = b"", 0, position.offset
    while begin < len(buffer) or read_to < source.size:
        if empty := _empty_lines(buffer, begin):
            begin += len(empty)
            count = len(_LINE_END.findall(empty))
            after = Position(
                read_to - len(buffer) + begin, position.row + count, position.line + count
            )
            yield empty, position, after
            position = after
            continue
        match = record.match(buffer, begin)
        if read_to < source.size and (match is None or match.end() == len(buffer)):
            # What ends where the buffer does may go on in the next block.
            _check_length(len(buffer) - begin, position)
            block = source.read(read_to, min(read_to + BLOCK, source.size))
            buffer, begin = buffer[begin:] + block, 0
            if read_to == 0:
                begin = _bom_length(buffer)
            read_to += len(block)
            continue
        if match is None:
            raise UnreadableRecord(f"the quote in line {position.line + 1} is never closed")
        _check_length(match.end() - begin, position)
        raw, begin = match[0], match.end()
        after = Position(
            read_to - len(buffer) + begin, position.row + 1, position.line + _lines(raw)
        )
        yield raw, position, after
        position = after


def _empty_lines(buffer: bytes, begin: int) -> bytes:
    """Return the empty lines that begin here, many at once: a file may hold a million of them. A
    carriage return where the buffer ends is left, for the other half of the line end may follow."""
    match = _EMPTY_LINES.match(buffer, begin)
    if match is None:
        return b""
    return match[0].removesuffix(b"\r") if match.end() == len(buffer) else match[0]


def _check_length(length: int, position: Position) -> None:
    if length > LONGEST_RECORD:
        raise UnreadableRecord(
            f"the record that starts in line {position.line + 1} is longer than "
            f"{LONGEST_RECORD:,} bytes; a quote may have been left open"
        )


def _bom_length(start_of_file: bytes) -> int:
    if start_of_file.startswith(_UTF_16_BOMS):
        raise UnreadableRecord("the file is UTF-16; save it as CSV UTF-8")
    return len(_BOM) if start_of_file.startswith(_BOM) else 0


def _lines(raw: bytes) -> int:
    return len(_LINE_END.findall(raw)) if b'"' in raw else 1


@cache
def _record(delimiter: bytes) -> re.Pattern[bytes]:
    """Return a whole record with its line end. A quote has its meaning only where a field
    starts."""
    plain = b"[^" + delimiter + rb"\r\n]*+"
    field = b'(?:"(?:[^"]|"")*+"' + plain + b'|(?!")' + plain + b")"
    return re.compile(field + b"(?:" + delimiter + field + rb")*+(?:\r\n|\r|\n|\Z)")


@cache
def _field(delimiter: str) -> re.Pattern[str]:
    """One field and the delimiter after it: what was quoted, what followed the quote, or plain."""
    plain = f"([^{delimiter}]*+)"
    return re.compile(f'(?:"((?:[^"]|"")*+)"{plain}|{plain}){delimiter}')


def _fields(raw: bytes, delimiter: str) -> list[str]:
    text = _decode(raw).rstrip("\r\n")
    if '"' not in text:
        return text.split(delimiter)
    return [
        quoted.replace('""', '"') + rest + plain
        for quoted, rest, plain in _field(delimiter).findall(text + delimiter)
    ]


def _decode(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("cp1252", errors="replace")  # five bytes mean nothing there
