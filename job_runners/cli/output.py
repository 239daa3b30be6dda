"""What commands print: lines and tables for people, tabs for pipes, JSON for programs."""

import json
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

SHORT = 8  # characters of an id that tell one job from another

STATUS_COLOURS = {
    "succeeded": "green",
    "failed": "red",
    "cancelled": "yellow",
    "retryable": "yellow",
    "running": "cyan",
}


def print_json(value: Any) -> None:
    """One value, indented for a terminal, on one line in a pipe."""
    indent = 2 if sys.stdout.isatty() else None
    click.echo(as_json(value, indent=indent))


def print_json_line(value: Any) -> None:
    """One of several values, each on a line."""
    click.echo(as_json(value))


def as_json(value: Any, indent: int | None = None) -> str:
    """Return a value as JSON, in which what would steer a terminal is written as an escape."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return "".join(each if each.isprintable() or each == "\n" else _escaped(each) for each in text)


def _escaped(character: str) -> str:
    return json.dumps(character)[1:-1]


def console() -> "Console":
    """Return a terminal that can do more than lines."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True, markup=False, emoji=False)


def plain(text: str) -> str:
    """Without what would steer the terminal: jobs carry text that strangers wrote."""
    return "".join(each if each.isprintable() or each in "\n\t" else "\ufffd" for each in text)


def tame(value: Any, depth: int = 20) -> Any:
    """Return JSON in which no text would steer the terminal. What is nested deeper is a payload's
    or a result's, which `as_json` escapes."""
    match value:
        case str():
            return plain(value)
        case Mapping() if depth:
            return {plain(str(name)): tame(each, depth - 1) for name, each in value.items()}
        case list() if depth:
            return [tame(each, depth - 1) for each in value]
    return value


def indented(text: str, indent: int) -> str:
    """Return a text of strangers with each of its lines moved to the right: none of them can be
    taken for a line of ours."""
    space = " " * indent
    return "\n".join(f"{space}{line}" for line in plain(text).splitlines())


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns on a terminal, the last one cut where the line ends; in a pipe whole, with tabs and
    without the heads."""
    if not sys.stdout.isatty():
        for row in rows:
            click.echo("\t".join(" ".join(plain(each).split()) for each in row))
        return
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    room = max(10, shutil.get_terminal_size().columns - sum(widths[:-1]) - 2 * (len(widths) - 1))
    click.secho(_columns(heads, widths, room), dim=True)
    for row in rows:
        click.echo(_columns(row, widths, room))


def _columns(row: Sequence[str], widths: Sequence[int], room: int) -> str:
    """Pad the cells before they are coloured: colours have a length, and no width."""
    padded = [
        click.style(plain(each).ljust(width), fg=STATUS_COLOURS.get(each))
        for each, width in zip(row[:-1], widths, strict=False)
    ]
    last = " ".join(plain(row[-1]).split())
    return "  ".join([*padded, last if len(last) <= room else last[: room - 1] + "…"]).rstrip()


def status(value: str) -> str:
    """Return a status in its colour, where there are colours."""
    return click.style(value, fg=STATUS_COLOURS.get(value))


def ago(iso: str | None) -> str:
    """How long ago, or until when, in one unit; in a pipe the time itself."""
    if iso is None:
        return ""
    if not _on_a_terminal():
        return iso
    seconds = (datetime.now(UTC) - datetime.fromisoformat(iso)).total_seconds()
    text = duration(abs(seconds))
    return f"{text} ago" if seconds >= 0 else f"in {text}"


def coming(iso: str) -> str:
    """Return in how long something comes, or that it is due; in a pipe the time itself."""
    if not _on_a_terminal():
        return iso
    seconds = (datetime.fromisoformat(iso) - datetime.now(UTC)).total_seconds()
    return f"in {duration(seconds)}" if seconds > 0 else "due"


def when(iso: str | None) -> str:
    """Return a time, and how long ago that is; in a pipe the time itself."""
    if iso is None or not _on_a_terminal():
        return iso or ""
    return f"{clock(iso)}  {ago(iso)}"


def time(iso: str) -> str:
    """Return a time as this machine's clock shows it; in a pipe the time itself."""
    return f"{datetime.fromisoformat(iso).astimezone():%Y-%m-%d %H:%M}" if _on_a_terminal() else iso


def _on_a_terminal() -> bool:
    return sys.stdout.isatty()


def clock(iso: str | None) -> str:
    """Return a time as the clock on this wall shows it, and its date unless that is today."""
    if iso is None:
        return ""
    moment = datetime.fromisoformat(iso).astimezone()
    today = datetime.now().astimezone().date()
    return f"{moment:%H:%M:%S}" if moment.date() == today else f"{moment:%Y-%m-%d %H:%M:%S}"


def duration(seconds: float) -> str:
    """Return a time span in its largest unit, rounded, so that it can be read at a glance."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def moment(milliseconds: int) -> str:
    """Return a time of day to the millisecond, for logs."""
    then = datetime.fromtimestamp(milliseconds / 1000, UTC).astimezone()
    return f"{then:%H:%M:%S}.{milliseconds % 1000:03d}"


def wrapped(text: str, indent: int) -> str:
    """Return a paragraph as wide as the terminal, moved to the right."""
    width = max(40, min(100, shutil.get_terminal_size().columns))
    space = " " * indent
    return textwrap.fill(text, width, initial_indent=space, subsequent_indent=space)


def short(job_id: str) -> str:
    """Enough of an id for a person; every command takes it for the whole one."""
    return job_id[:SHORT] if sys.stdout.isatty() else job_id
