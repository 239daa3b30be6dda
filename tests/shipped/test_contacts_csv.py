"""Reading CSV by byte offsets and writing it safely: against Python's own csv, on any text."""

import csv
import io
import re
from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from job_runners.shipped.campaigns.csv_text import CsvText, escaped
from job_runners.shipped.campaigns.importing import csv_records, seen_numbers
from job_runners.shipped.campaigns.importing.csv_records import (
    Position,
    Record,
    Source,
    UnreadableRecord,
    records,
)
from job_runners.shipped.campaigns.importing.import_chunks import Segments
from job_runners.shipped.campaigns.importing.seen_numbers import SeenNumbers

TEXTS = st.text(alphabet='a",;\t\r\n \u00e9\u20ac', max_size=40)
DELIMITERS = st.sampled_from([",", ";", "\t"])


def source_of(data: bytes) -> Source:
    return Source(len(data), lambda start, end: data[start:end])


def read(data: bytes, delimiter: str = ",", start: Position | None = None) -> list[Record]:
    found = records(source_of(data), delimiter, start or Position())
    return [record for record in found if record.fields]


def pythons(text: str, delimiter: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))


@pytest.fixture
def tiny_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_records, "BLOCK", 3)


@settings(max_examples=400)
@given(text=TEXTS, delimiter=DELIMITERS, block=st.integers(1, 20))
def test_records_are_those_that_pythons_csv_reads(text: str, delimiter: str, block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_records, "BLOCK", block)
        try:
            found = [record.fields for record in read(text.encode(), delimiter)]
        except UnreadableRecord:
            # csv takes the rest of the file for part of the field.
            assert pythons(text + "\nX", delimiter)[-1] != ["X"]
            return
    expected = pythons(text, delimiter)
    assert found == [each for each in expected if any(field.strip('",;\t\r\n ') for field in each)]


@settings(max_examples=200)
@given(text=TEXTS, delimiter=DELIMITERS)
def test_reading_from_any_records_start_gives_the_rest(text: str, delimiter: str) -> None:
    data = text.encode()
    try:
        whole = read(data, delimiter)
    except UnreadableRecord:
        return
    for place, record in enumerate(whole):
        assert read(data, delimiter, record.start) == whole[place:]
        assert read(data, delimiter, record.end) == whole[place + 1 :]


def test_rows_and_lines_are_counted_as_a_spreadsheet_and_an_editor_do() -> None:
    first, second = read(b'\r\na,"x\r\ny\nz"\r\n\r\nb,2')
    assert (first.start, first.end) == (Position(2, 1, 1), Position(14, 2, 4))
    assert (second.start, second.end) == (Position(16, 3, 5), Position(19, 4, 6))


def test_a_quote_counts_only_where_a_field_starts(tiny_blocks: None) -> None:
    fields = [record.fields for record in read(b'5" pipe,6" pipe\n"a"b"c,d\n')]
    assert fields == [['5" pipe', '6" pipe'], ['ab"c', "d"]]


def test_bytes_that_mean_nothing_in_either_encoding_spoil_one_field_only() -> None:
    assert read(b"\x81\xff,x\n")[0].fields == ["\ufffd\u00ff", "x"]


@pytest.mark.parametrize("value", ["+12125550123", "-5", "+3.5", "-1,25", "0", "", "a=b", "'=1"])
def test_numbers_and_plain_text_are_written_as_they_are(value: str) -> None:
    assert escaped(value) == value


@pytest.mark.parametrize("value", ["=1", "+1+1", "-2+3", "@a", "+1 212", "-", "\tx", "+", "-1e5+2"])
def test_what_a_spreadsheet_would_run_is_written_as_text(value: str) -> None:
    assert escaped(value) == "'" + value


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("a;=1", "a;'=1"),
        ("a\t=1", "a\t'=1"),
        ("a\n+1+1", "a\n'+1+1"),
        ("a\r\n@x", "a\r\n'@x"),
        ("a;b;-2+3;c", "a;b;'-2+3;c"),
        ('a;"=1', "a;\"'=1"),
        ("a; =1", "a; '=1"),
        (";\uff1d1", ";'\uff1d1"),
        ("=1;=2", "'=1;'=2"),
        ("a;-5;+12125550123", "a;-5;+12125550123"),  # numbers, each a cell of its own
        ("a;-5x", "a;'-5x"),
        ("a,=1", "a,=1"),  # a comma is quoted, or is none that separates
    ],
)
def test_a_formula_after_what_may_end_a_cell_is_written_as_text(value: str, written: str) -> None:
    assert escaped(value) == written
    # However it is cut, no cell begins a formula.
    for cell in re.split(r"[;\t\r\n]", written):
        assert escaped(cell) == cell


def test_a_file_of_empty_lines_is_passed_in_a_few_records() -> None:
    data = b"a,b\n" + b"\n\r\n\r" * 100_000 + b"c,d\n"
    found = list(records(source_of(data), ",", Position()))
    assert len(found) < 10
    assert (found[-1].fields, found[-1].start.row) == (["c", "d"], 200_002)


@given(rows=st.lists(st.lists(st.text(max_size=8), min_size=1, max_size=3), max_size=5))
def test_what_is_written_is_what_is_read_but_for_the_apostrophes(rows: list[list[str]]) -> None:
    text = CsvText()
    for row in rows:
        text.add(row)
    written = text.take().decode()
    assert text.take() == b""
    assert pythons(written, ",") == [[escaped(value) for value in row] for row in rows]


@given(numbers=st.lists(st.integers(10**6, 10**6 + 50), max_size=100))
def test_a_number_is_new_once(numbers: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seen_numbers, "_SHELVES", 4)
        seen = SeenNumbers(Segments("partial/job/seen", []))
        known: set[int] = set()
        for number in numbers:
            assert seen.add(f"+{number}") == (number not in known)
            known.add(number)


@pytest.mark.usefixtures("aws")
def test_numbers_take_eight_bytes_each_where_they_are_kept() -> None:
    segments = Segments("partial/job/seen", [])
    seen = SeenNumbers(segments)
    for number in range(10_000, 11_000):
        seen.add(f"+1212{number}")
    seen.save(0, 50)
    seen.save(50, 60)  # nothing new: nothing written
    assert segments.cursor == [[0, 50, 8000]]
    (kept,) = segments.read()
    assert sorted(array("Q", kept)) == list(range(121210_000, 121211_000))
    again = SeenNumbers(Segments("partial/job/seen", segments.cursor))
    assert not again.add("+121210500")
    assert again.add("+121211000")
