"""Reading CSV from any record on, and writing it safely: against Python's own csv, on any text."""

import csv
import io
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaign import csv_records
from campaign.csv_records import Position, Record, Source, UnreadableRecord, records
from campaign.csv_text import CsvText, escaped

TEXTS = st.text(alphabet='a",;\t\r\n \u00e9\u20ac', max_size=40)
DELIMITERS = st.sampled_from([",", ";", "\t"])


@pytest.fixture(autouse=True)
def contacts_table() -> None:
    """Replace the fixture that creates the table, which no test here needs."""


def read(data: bytes, delimiter: str = ",", start: Position | None = None) -> list[Record]:
    source = Source(len(data), lambda start, end: data[start:end])
    return [record for record in records(source, delimiter, start or Position()) if record.fields]


def pythons(text: str, delimiter: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))


@settings(max_examples=300)
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


@settings(max_examples=150)
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
    (last,) = read(b"\n\r\n\r" * 100_000 + b"c,d\n")
    assert last.start.row == 200_001


def test_quotes_count_at_a_fields_start_and_odd_bytes_spoil_one_field() -> None:
    fields = [record.fields for record in read(b'5" pipe,6" pipe\n"a"b"c,d\n\x81\xff,x\n')]
    assert fields == [['5" pipe', '6" pipe'], ['ab"c', "d"], ["\ufffd\u00ff", "x"]]


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
        ("a,=1", "a,=1"),  # CSV quotes a comma, so it never ends a cell
    ],
)
def test_a_formula_after_the_possible_end_of_a_cell_is_written_as_text(
    value: str, written: str
) -> None:
    assert escaped(value) == written
    assert all(escaped(cell) == cell for cell in re.split(r"[;\t\r\n]", written))


@given(rows=st.lists(st.lists(st.text(max_size=8), min_size=1, max_size=3), max_size=5))
def test_what_is_written_is_read_again_with_its_apostrophes(rows: list[list[str]]) -> None:
    text = CsvText()
    for row in rows:
        text.add(row)
    written = text.take().decode()
    assert text.take() == b""
    assert pythons(written, ",") == [[escaped(value) for value in row] for row in rows]


@pytest.mark.parametrize("module", ["phonenumbers", "boto3"])
def test_a_cold_start_of_the_api_does_not_import_it(module: str) -> None:
    jobs = "assign_texters export_contacts import_contacts send_first_messages send_message"
    code = f"import sys; from campaign import {', '.join(jobs.split())}"
    code += f"; sys.exit({module!r} in sys.modules)"
    project = Path(__file__).parents[1]
    path = [str(project), *filter(None, sys.path)]
    command = [sys.executable, "-c", code]
    environment = {"PYTHONPATH": ":".join(path)}
    assert subprocess.run(command, cwd=project, env=environment, check=False).returncode == 0
