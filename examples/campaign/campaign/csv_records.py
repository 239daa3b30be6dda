"""Read the records of a CSV file from any record's byte offset, with one block in memory."""

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import NamedTuple

BLOCK = 1024 * 1024  # bytes read at a time
LONGEST_RECORD = 1024 * 1024  # bytes; a longer record most likely has an open quote

_LINE_END = re.compile(rb"\r\n|\r|\n")
_EMPTY_LINES = re.compile(rb"[\r\n]++")
_NO_VALUE = b' \t\r\n",;'  # a record without any value has only these
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
    """One record: its fields (none if all are empty), and the positions before and after it.

    Consecutive empty lines are one record.
    """

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

    Each record is read as UTF-8, or else as Windows-1252. A file may be merged from several files,
    so one odd record must not change how the others are read.
    """
    for raw, before, after in _split(source, _record_pattern(delimiter.encode()), start):
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
            # A record that ends at the end of the buffer may continue in the next block.
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
            read_to - len(buffer) + begin, position.row + 1, position.line + _line_count(raw)
        )
        yield raw, position, after
        position = after


def _empty_lines(buffer: bytes, begin: int) -> bytes:
    """Return all empty lines from `begin` on as one piece, because a file may have a million of
    them.

    A carriage return at the end of the buffer is left out, because its line feed may follow.
    """
    match = _EMPTY_LINES.match(buffer, begin)
    if match is None:
        return b""
    return match[0].removesuffix(b"\r") if match.end() == len(buffer) else match[0]


def _check_length(length: int, position: Position) -> None:
    if length > LONGEST_RECORD:
        raise UnreadableRecord(
            f"the record that starts in line {position.line + 1} is longer than "
            f"{LONGEST_RECORD:,} bytes; it may have an open quote"
        )


def _bom_length(start_of_file: bytes) -> int:
    if start_of_file.startswith(_UTF_16_BOMS):
        raise UnreadableRecord("the file is UTF-16; save it as CSV UTF-8")
    return len(_BOM) if start_of_file.startswith(_BOM) else 0


def _line_count(raw: bytes) -> int:
    return len(_LINE_END.findall(raw)) if b'"' in raw else 1


@cache
def _record_pattern(delimiter: bytes) -> re.Pattern[bytes]:
    """Return the pattern of a whole record with its line end.

    A quote is special only at the start of a field.
    """
    plain = b"[^" + delimiter + rb"\r\n]*+"
    field = b'(?:"(?:[^"]|"")*+"' + plain + b'|(?!")' + plain + b")"
    return re.compile(field + b"(?:" + delimiter + field + rb")*+(?:\r\n|\r|\n|\Z)")


@cache
def _field_pattern(delimiter: str) -> re.Pattern[str]:
    """Return the pattern of a field and its delimiter.

    Its groups are the quoted text, the text after the quotes, and the text of an unquoted field.
    """
    plain = f"([^{delimiter}]*+)"
    return re.compile(f'(?:"((?:[^"]|"")*+)"{plain}|{plain}){delimiter}')


def _fields(raw: bytes, delimiter: str) -> list[str]:
    text = _decode(raw).rstrip("\r\n")
    if '"' not in text:
        return text.split(delimiter)
    return [
        quoted.replace('""', '"') + rest + plain
        for quoted, rest, plain in _field_pattern(delimiter).findall(text + delimiter)
    ]


def _decode(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("cp1252", errors="replace")  # five byte values are undefined there
