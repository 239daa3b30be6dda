"""Show in the terminal what jobs and tasks do on the local AWS, as it happens.

A line begins with the time, the job's type and its id, unless the line before is about the same
job: then it is indented. What a job's own code prints follows a bar, so that it can't look like a
line of this program:

    12:03:07 resize_photos 3f2a  started
      | 12 of 40 done
      succeeded 4.1 s
"""

import json
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from rich.cells import chop_cells
from rich.console import Console
from rich.text import Text

from job_runners.cli.output import plain
from job_runners.local.job_events import Event, event_of

_MAX_PRINTED = 200  # lines printed by jobs that one call shows, so that a flood stays readable
_MAX_LINE = 1_000  # characters of a line that are shown
# Characters of an id that are shown, which are usually enough for `job-runners show` and
# `job-runners logs`. A task's id begins with the time.
_JOB_ID_LENGTH, _TASK_ID_LENGTH = 4, 14
_LEVEL_COLORS = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "red"}
_BAR = "| "


class JobStream:
    """Shows lines of functions, and notes about the run itself. Any thread may use it."""

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        """With `quiet`, show only failures and notes."""
        self._console = console
        self._quiet = quiet
        self._lock = threading.Lock()
        self._speaker = ""  # the job, task or function that the last line was about
        self._printed_count = 0  # lines printed by jobs in this call
        # the tracebacks shown, each as a speaker and a hash
        self._tracebacks: set[tuple[str, int]] = set()

    def note(self, text: str) -> None:
        """Show a note about the run."""
        with self._lock:
            self._speaker = ""
            for line in _lines(text):
                self._console.print(Text(f"  {line}"))

    def show(self, lines: Sequence[tuple[str, str]]) -> None:
        """Show lines of functions, each with the function's name."""
        with self._lock:
            self._printed_count = 0
            for function, text in lines:
                self._show_line(function, text)
            if self._printed_count > _MAX_PRINTED and not self._quiet:
                self._speaker = ""
                hidden_count = self._printed_count - _MAX_PRINTED
                text = f"  {_BAR}… and {hidden_count:,} more lines"
                self._console.print(Text(text, "dim"))

    def _show_line(self, function: str, text: str) -> None:
        fields = _fields(text)
        if fields is None:  # such as the output of a program that a job has started
            self._show_printed(function, _head({}, function), {"message": text})
            return
        work_id = fields.get("job_id") or fields.get("task_id")
        is_unimportant = work_id is None and fields.get("level") not in _LEVEL_COLORS
        if "message" not in fields or is_unimportant:
            return  # metrics, or the log of a request or of the timer
        head = _head(fields, function)
        event = event_of(fields) if work_id else None
        if event is None:
            self._show_printed(str(work_id or function), head, fields)
        elif event.words and (event.failed or not self._quiet):
            self._show_event(str(work_id), head, event, fields)

    def _show_event(self, speaker: str, head: Text, event: Event, fields: dict[str, Any]) -> None:
        if event.begins:
            self._speaker = ""  # show the time too
        self._print(speaker, head, "", Text(_one_line(event.words), event.color or ""))
        for line in self._without_repetition(speaker, _lines(fields.get("exception"))):
            self._print(speaker, head, _BAR, Text(line))

    def _without_repetition(self, speaker: str, traceback: list[str]) -> list[str]:
        """Shorten a traceback to its error if it was already shown for the same speaker."""
        key = speaker, hash(tuple(traceback))
        if key in self._tracebacks:
            return [f"{_error_line(traceback)} (again, with the traceback above)"]
        if traceback:
            self._tracebacks.add(key)
        return traceback

    def _show_printed(self, speaker: str, head: Text, fields: dict[str, Any]) -> None:
        self._printed_count += 1
        if self._quiet or self._printed_count > _MAX_PRINTED:
            return
        level = str(fields.get("level"))
        text = _message(fields)
        if level in _LEVEL_COLORS:
            text = f"{level} {text}"
        for line in [*_lines(text), *_lines(fields.get("exception"))] or [""]:
            self._print(speaker, head, _BAR, Text(line, _LEVEL_COLORS.get(level, "")))

    def _print(self, speaker: str, head: Text, bar: str, words: Text) -> None:
        """Print words, after `head` unless the last line had the same speaker."""
        indent = Text(f"  {bar}")
        start = indent if speaker == self._speaker else head + indent
        self._speaker = speaker
        for part in self._wrap(words, start.cell_len):
            self._console.print(start + part)
            start = indent

    def _wrap(self, words: Text, indent: int) -> list[Text]:
        """Split words to fit the terminal. If it wrapped them itself, a line would lack the bar."""
        if not self._console.is_terminal or indent + words.cell_len <= self._console.width:
            return [words]
        parts = chop_cells(words.plain, max(self._console.width - indent, 1))
        return [Text(part, words.style) for part in parts]


def _fields(text: str) -> dict[str, Any] | None:
    """Return the fields of a structured log line, or None for any other line."""
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):  # a RecursionError means very deep nesting
        return None
    return fields if isinstance(fields, dict) else None


def _head(fields: dict[str, Any], function: str) -> Text:
    """Return a line's time, and the name and the shortened id of its job or task."""
    name = fields.get("job_type") or fields.get("task_name") or function
    job, task = str(fields.get("job_id") or ""), str(fields.get("task_id") or "")
    words = _one_line(f"{name} {job[:_JOB_ID_LENGTH] or task[:_TASK_ID_LENGTH]}")
    return Text(_time(fields), "dim") + Text(f" {words}")


def _time(fields: dict[str, Any]) -> str:
    try:
        logged = datetime.strptime(fields["timestamp"], "%Y-%m-%d %H:%M:%S,%f%z")
    except (KeyError, TypeError, ValueError):
        logged = datetime.now(UTC)
    return f"{logged.astimezone():%H:%M:%S}"


def _message(fields: dict[str, Any]) -> str:
    message = fields["message"]
    text = message if isinstance(message, str) else json.dumps(message, ensure_ascii=False)
    return f"{text}: {fields['why']}" if isinstance(fields.get("why"), str) else text


def _lines(text: object) -> list[str]:
    """Return the lines of an untrusted text, each shortened and without control characters."""
    if not text:
        return []
    lines = plain(str(text)).expandtabs(4).split("\n")
    return [line if len(line) <= _MAX_LINE else f"{line[:_MAX_LINE]}…" for line in lines]


def _error_line(traceback: Sequence[str]) -> str:
    """Return the line that names the error: the first unindented one after the last frame."""
    frames = [number for number, line in enumerate(traceback) if line.startswith('  File "')]
    if frames:
        for line in traceback[frames[-1] :]:
            if not line.startswith(" "):
                return line
    return traceback[-1]


def _one_line(text: str) -> str:
    return " ".join(plain(text).split())
