"""Reading CSV from any row on, and writing it safely: against Python's own csv, on any text."""

import csv
import io
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaign.contacts_file import ContactsFile, Position, Row
from campaign.csv_text import CsvText, escaped
from campaign.errors import UnusableFile
from campaign_world import HEADER

TEXTS = st.text(alphabet='a",\r\n \u00e9\u20ac', max_size=40)


@pytest.fixture(autouse=True)
def contacts_table() -> None:
    """Replace the fixture that creates the table, which no test here needs."""


class File(io.BytesIO):
    """A job whose only file is this one."""

    size, etag = 0, "1"

    def open_file(self, *_: Any, **__: Any) -> Any:
        return self


def opened(text: str) -> ContactsFile:
    job: Any = File((HEADER + text).encode())
    return ContactsFile(job, "contacts.csv", None)


def rows(file: ContactsFile, start: Position | None = None) -> list[Row]:
    return [row for chunk in file.chunks(start or file.first_row) for row in chunk]


def pythons(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


@settings(max_examples=300)
@given(text=TEXTS)
def test_rows_are_those_that_pythons_csv_reads_from_any_row_on(text: str) -> None:
    file = opened(text)
    try:
        whole = rows(file)
    except UnusableFile:
        return
    expected = [each for each in pythons(text) if any(map(str.strip, each))]
    assert [row.values for row in whole if row.values] == expected
    for place, row in enumerate(whole):
        assert rows(file, row.end) == whole[place + 1 :]


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
    assert pythons(written) == [[escaped(value) for value in row] for row in rows]


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
