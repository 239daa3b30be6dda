"""Print and format output: tables for terminals, tabs for pipes, JSON for programs."""

import json
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

Job = dict[str, Any]  # a job as the API's JSON

SHORT = 8  # characters of an id that a terminal shows

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
    """Return a value as JSON, and escape characters that could control the terminal."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return "".join(each if each.isprintable() or each == "\n" else _escape(each) for each in text)


def _escape(character: str) -> str:
    return json.dumps(character)[1:-1]


def console() -> "Console":
    """Return a rich console for live output."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True, markup=False, emoji=False)


def plain(text: str) -> str:
    """Return a text in which characters that could control the terminal are replaced.

    Jobs carry text from untrusted sources.
    """
    return "".join(each if each.isprintable() or each in "\n\t" else "\ufffd" for each in text)


def one_line(text: str) -> str:
    """Return an untrusted text as `plain` does, on one line."""
    return " ".join(plain(text).split())


def print_facts(facts: Iterable[tuple[str, str | None]], color: str | None = None) -> None:
    """Print each name with its value, except without a value. `color` is that of the status."""
    for name, value in facts:
        if value:
            text = " ".join(plain(value).splitlines())
            shown = click.style(text, fg=color if name == "status" else None)
            click.echo(f"{click.style(f'{name:<13}', dim=True)} {shown}")


def tame(value: Any, depth: int = 20) -> Any:
    """Return a JSON value with `plain` applied to all its texts.

    Values nested deeper than `depth` are unchanged. They are in a payload or result, which commands
    print with `as_json`, and that escapes them.
    """
    match value:
        case str():
            return plain(value)
        case Mapping() if depth:
            return {plain(str(name)): tame(each, depth - 1) for name, each in value.items()}
        case list() if depth:
            return [tame(each, depth - 1) for each in value]
    return value


def indented(text: str, indent: int) -> str:
    """Indent each line of an untrusted text, so that no line looks like the command's own."""
    space = " " * indent
    return "\n".join(f"{space}{line}" for line in plain(text).splitlines())


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows as columns on a terminal, with the last column cut at the end of the line.

    In a pipe, print whole values separated by tabs, without the headings.
    """
    if not sys.stdout.isatty():
        for row in rows:
            click.echo("\t".join(map(one_line, row)))
        return
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    last_width = max(
        10, shutil.get_terminal_size().columns - sum(widths[:-1]) - 2 * (len(widths) - 1)
    )
    click.secho(_columns(headings, widths, last_width), dim=True)
    for row in rows:
        click.echo(_columns(row, widths, last_width))


def _columns(row: Sequence[str], widths: Sequence[int], last_width: int) -> str:
    """Return a row as text. Cells are padded, then colored, because `ljust` counts color codes."""
    padded = [
        click.style(plain(each).ljust(width), fg=STATUS_COLORS.get(each))
        for each, width in zip(row[:-1], widths, strict=False)
    ]
    last = one_line(row[-1])
    return "  ".join(
        [*padded, last if len(last) <= last_width else last[: last_width - 1] + "…"]
    ).rstrip()


def status(value: str) -> str:
    """Return a status in its color."""
    return click.style(value, fg=STATUS_COLORS.get(value))


def ago(iso: str | None) -> str:
    """Return the distance from now, such as "5 min ago" or "in 2 h". In a pipe, return the time."""
    if iso is None:
        return ""
    if not _on_a_terminal():
        return iso
    seconds = (datetime.now(UTC) - datetime.fromisoformat(iso)).total_seconds()
    text = duration(abs(seconds))
    return f"{text} ago" if seconds >= 0 else f"in {text}"


def coming(iso: str) -> str:
    """Return the time until a moment, or "due" if it has passed. In a pipe, return the moment."""
    if not _on_a_terminal():
        return iso
    seconds = (datetime.fromisoformat(iso) - datetime.now(UTC)).total_seconds()
    return f"in {duration(seconds)}" if seconds > 0 else "due"


def when(iso: str | None) -> str:
    """Return a time and its distance from now. In a pipe, return only the time."""
    if iso is None or not _on_a_terminal():
        return iso or ""
    return f"{clock(iso)}  {ago(iso)}"


def time(iso: str) -> str:
    """Return a time in this machine's zone, to the minute. In a pipe, return it unchanged."""
    return f"{datetime.fromisoformat(iso).astimezone():%Y-%m-%d %H:%M}" if _on_a_terminal() else iso


def _on_a_terminal() -> bool:
    return sys.stdout.isatty()


def clock(iso: str | None) -> str:
    """Return a time in this machine's zone, with the date unless it is today."""
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


def moment(milliseconds: int) -> str:
    """Return the time of day to the millisecond, for log lines."""
    then = datetime.fromtimestamp(milliseconds / 1000, UTC).astimezone()
    return f"{then:%H:%M:%S}.{milliseconds % 1000:03d}"


def wrapped(text: str, indent: int) -> str:
    """Return a paragraph wrapped to the terminal's width and indented."""
    width = max(40, min(100, shutil.get_terminal_size().columns))
    space = " " * indent
    return textwrap.fill(text, width, initial_indent=space, subsequent_indent=space)


def short(job_id: str) -> str:
    """Return the start of an id on a terminal, otherwise the id. Commands accept both."""
    return job_id[:SHORT] if sys.stdout.isatty() else job_id
