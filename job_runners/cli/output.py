"""Print and format output: tables for terminals, tabs for pipes, JSON for programs.

A text from a job or the API is untrusted, because some characters can control the terminal. `plain`
replaces these. A parameter `iso` is a time in ISO 8601, as in the API's JSON.
"""

import json
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click

Job = dict[str, Any]  # a job as the API's JSON

SHORT_LENGTH = 8  # characters of an id that a terminal shows

STATUS_COLORS = {
    "succeeded": "green",
    "failed": "red",
    "canceled": "yellow",
    "retryable": "yellow",
    "running": "cyan",
}


def print_json(value: Any) -> None:
    """Print a value as JSON, indented on a terminal and on one line in a pipe."""
    indent = 2 if sys.stdout.isatty() else None
    click.echo(as_json(value, indent=indent))


def print_json_line(value: Any) -> None:
    """Print a value as one line of JSON."""
    click.echo(as_json(value))


def as_json(value: Any, indent: int | None = None) -> str:
    """Return a value as JSON, with characters escaped that could control the terminal."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return "".join(
        character if character.isprintable() or character == "\n" else _escape(character)
        for character in text
    )


def _escape(character: str) -> str:
    return json.dumps(character)[1:-1]


def plain(text: str) -> str:
    """Replace characters of an untrusted text that could control the terminal."""
    return "".join(
        character if character.isprintable() or character in "\n\t" else "\ufffd"
        for character in text
    )


def one_line(text: str) -> str:
    """Apply `plain` to an untrusted text, and put it on one line."""
    return " ".join(plain(text).split())


def print_details(
    details: Iterable[tuple[str, str | None]], status_color: str | None = None
) -> None:
    """Print each name and its value, if it has one. `status_color` is for the status."""
    for name, value in details:
        if value:
            label = click.style(f"{name:<13}", dim=True)
            text = " ".join(plain(value).splitlines())
            color = status_color if name == "status" else None
            click.echo(f"{label} {click.style(text, fg=color)}")


def plain_json(value: Any, depth: int = 20) -> Any:
    """Apply `plain` to all strings in a JSON value, down to `depth` levels.

    Only payloads and results can be nested deeper, and commands print those with `as_json`, which
    escapes their strings.
    """
    match value:
        case str():
            return plain(value)
        case Mapping() if depth:
            return {plain(str(name)): plain_json(item, depth - 1) for name, item in value.items()}
        case list() if depth:
            return [plain_json(item, depth - 1) for item in value]
    return value


def indent_lines(text: str, width: int) -> str:
    """Indent each line of an untrusted text, so that no line looks like the command's own."""
    space = " " * width
    return "\n".join(f"{space}{line}" for line in plain(text).splitlines())


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows as a table on a terminal. Cells of the last column are cut at the end of the line.

    In a pipe, print complete values separated by tabs, without headings.
    """
    if not sys.stdout.isatty():
        for row in rows:
            click.echo("\t".join(map(one_line, row)))
        return
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    columns_before = sum(width + 2 for width in widths[:-1])  # two spaces separate columns
    last_width = max(10, shutil.get_terminal_size().columns - columns_before)
    click.secho(_format_row(headings, widths, last_width), dim=True)
    for row in rows:
        click.echo(_format_row(row, widths, last_width))


def _format_row(row: Sequence[str], widths: Sequence[int], last_width: int) -> str:
    """Return a row's line, with the last cell cut to `last_width` characters."""
    cells = [
        # Pad a cell before it is colored, because `ljust` would count color codes.
        click.style(plain(cell).ljust(width), fg=STATUS_COLORS.get(cell))
        for cell, width in zip(row[:-1], widths, strict=False)
    ]
    last = one_line(row[-1])
    if len(last) > last_width:
        last = last[: last_width - 1] + "…"
    return "  ".join([*cells, last]).rstrip()


def colored_status(value: str) -> str:
    """Return a status in its color."""
    return click.style(value, fg=STATUS_COLORS.get(value))


def relative_time(iso: str | None) -> str:
    """Return a time relative to now, such as "5 min ago". In a pipe, return it unchanged."""
    if iso is None:
        return ""
    if not _on_a_terminal():
        return iso
    seconds = (datetime.now(UTC) - datetime.fromisoformat(iso)).total_seconds()
    text = duration(abs(seconds))
    return f"{text} ago" if seconds >= 0 else f"in {text}"


def time_until(iso: str) -> str:
    """Return how long it is until a time, or "due" if it has passed. In a pipe, return the time."""
    if not _on_a_terminal():
        return iso
    seconds = (datetime.fromisoformat(iso) - datetime.now(UTC)).total_seconds()
    return f"in {duration(seconds)}" if seconds > 0 else "due"


def time_and_age(iso: str | None) -> str:
    """Return a time, both absolute and relative to now. In a pipe, return only the time."""
    if iso is None:
        return ""
    if not _on_a_terminal():
        return iso
    return f"{clock(iso)}  {relative_time(iso)}"


def time(iso: str) -> str:
    """Return a time in the local time zone, to the minute. In a pipe, return it unchanged."""
    if not _on_a_terminal():
        return iso
    return f"{datetime.fromisoformat(iso).astimezone():%Y-%m-%d %H:%M}"


def _on_a_terminal() -> bool:
    return sys.stdout.isatty()


def clock(iso: str | None) -> str:
    """Return a time in the local time zone, to the second, with the date unless it is today."""
    if iso is None:
        return ""
    local_time = datetime.fromisoformat(iso).astimezone()
    today = datetime.now().astimezone().date()
    is_today = local_time.date() == today
    return f"{local_time:%H:%M:%S}" if is_today else f"{local_time:%Y-%m-%d %H:%M:%S}"


def duration(seconds: float) -> str:
    """Return a time span rounded to its largest unit."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def exact_duration(milliseconds: float) -> str:
    """Return a time span to the millisecond or the tenth of a second, if it is short."""
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1000
    return f"{seconds:.1f} s" if seconds < 120 else duration(seconds)


def count(number: int, noun: str) -> str:
    """Return a number with its noun, such as "1 job" or "2,000 jobs"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def time_of_day(milliseconds: int) -> str:
    """Return the local time of day to the millisecond, for log lines."""
    local_time = datetime.fromtimestamp(milliseconds / 1000, UTC).astimezone()
    return f"{local_time:%H:%M:%S}.{milliseconds % 1000:03d}"


def wrap(text: str, indent: int) -> str:
    """Wrap a paragraph to the terminal's width, and indent it."""
    width = max(40, min(100, shutil.get_terminal_size().columns))
    space = " " * indent
    return textwrap.fill(text, width, initial_indent=space, subsequent_indent=space)


def short_id(job_id: str) -> str:
    """Return the start of an id on a terminal, otherwise the whole id. Commands accept both."""
    return job_id[:SHORT_LENGTH] if _on_a_terminal() else job_id
