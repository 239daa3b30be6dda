"""Show in the terminal what jobs and tasks do on the local AWS, as it happens.

A line about another job than the line before it begins with the time, the job's type and its id.
Further lines about the same job are indented. Everything that work prints stands behind a bar, so
that it can't look like a line of this program:

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

_MOST = 200  # printed lines that are shown of one read, so that a flood stays readable
_LONGEST = 1_000  # characters of a printed line that are shown
# Characters of an id that are shown, which are usually enough for `job-runners show` and
# `job-runners logs`. The id of a task begins with the time.
_JOB_ID, _TASK_ID = 4, 14
_WORRYING = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "red"}
_BAR = "| "


class JobStream:
    """Shows lines of functions, and notes about the run itself. Any thread may use it."""

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        """With `quiet`, show only failures and notes."""
        self._console = console
        self._quiet = quiet
        self._lock = threading.Lock()
        self._speaker = ""  # the job, task or function of the line before
        self._printed = 0  # printed lines of this read
        self._errors: set[tuple[str, int]] = set()  # jobs, with hashes of tracebacks shown for them

    def note(self, text: str) -> None:
        """Show a note about the run."""
        with self._lock:
            self._speaker = ""
            for line in _lines(text):
                self._console.print(Text(f"  {line}"))

    def show(self, lines: Sequence[tuple[str, str]]) -> None:
        """Show lines that were read together: the name of a function, and the text."""
        with self._lock:
            self._printed = 0
            for function, text in lines:
                self._show_line(function, text)
            if self._printed > _MOST and not self._quiet:
                self._speaker = ""
                more = f"{_BAR}… and {self._printed - _MOST:,} more lines"
                self._console.print(Text(f"  {more}", "dim"))

    def _show_line(self, function: str, text: str) -> None:
        fields = _fields(text)
        if fields is None:  # such as the output of a program that a job has started
            self._show_printed(function, _head({}, function), {"message": text})
            return
        work = fields.get("job_id") or fields.get("task_id")
        if "message" not in fields or (work is None and fields.get("level") not in _WORRYING):
            return  # metrics, or the log of a request or of the timer
        head = _head(fields, function)
        event = event_of(fields) if work else None
        if event is None:
            self._show_printed(str(work or function), head, fields)
        elif event.words and (event.failed or not self._quiet):
            self._show_event(str(work), head, event, fields)

    def _show_event(self, speaker: str, head: Text, event: Event, fields: dict[str, Any]) -> None:
        if event.begins:
            self._speaker = ""  # so that each beginning is shown with its time
        self._say(speaker, head, "", Text(_one_line(event.words), event.color or ""))
        for line in self._new_lines(speaker, _lines(fields.get("exception"))):
            self._say(speaker, head, _BAR, Text(line))

    def _new_lines(self, speaker: str, traceback: list[str]) -> list[str]:
        """Shorten a traceback to its error if the same one was shown for the same work."""
        seen = speaker, hash(tuple(traceback))
        if seen in self._errors:
            return [f"{_error_in(traceback)} (again, with the traceback above)"]
        if traceback:
            self._errors.add(seen)
        return traceback

    def _show_printed(self, speaker: str, head: Text, fields: dict[str, Any]) -> None:
        self._printed += 1
        if self._quiet or self._printed > _MOST:
            return
        level = str(fields.get("level"))
        text = _message(fields)
        if level in _WORRYING:
            text = f"{level} {text}"
        for line in [*_lines(text), *_lines(fields.get("exception"))] or [""]:
            self._say(speaker, head, _BAR, Text(line, _WORRYING.get(level, "")))

    def _say(self, speaker: str, head: Text, bar: str, words: Text) -> None:
        """Print words below those of the same speaker, or behind the speaker's name."""
        below = Text(f"  {bar}")
        start = below if speaker == self._speaker else head + Text(f"  {bar}")
        self._speaker = speaker
        for chunk in self._chunks(words, start.cell_len):
            self._console.print(start + chunk)
            start = below

    def _chunks(self, words: Text, indent: int) -> list[Text]:
        """Cut words at the width of the terminal, so that each line begins with our own words."""
        if not self._console.is_terminal or indent + words.cell_len <= self._console.width:
            return [words]
        chunks = chop_cells(words.plain, max(self._console.width - indent, 1))
        return [Text(chunk, words.style) for chunk in chunks]


def _fields(text: str) -> dict[str, Any] | None:
    """Return the fields of a line of ours, or None for another line."""
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):  # the second for very deep nesting
        return None
    return fields if isinstance(fields, dict) else None


def _head(fields: dict[str, Any], function: str) -> Text:
    """Return the time, the name and the start of the id of the work that a line is about."""
    name = fields.get("job_type") or fields.get("task_name") or function
    job, task = str(fields.get("job_id") or ""), str(fields.get("task_id") or "")
    words = _one_line(f"{name} {job[:_JOB_ID] or task[:_TASK_ID]}")
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
    """Return the lines of an untrusted text, each without control characters and not too long."""
    lines = plain(str(text or "")).expandtabs(4).split("\n")
    return [each if len(each) <= _LONGEST else f"{each[:_LONGEST]}…" for each in lines if text]


def _error_in(traceback: Sequence[str]) -> str:
    """Return the line that names the error, which follows the last frame."""
    frames = [number for number, line in enumerate(traceback) if line.startswith('  File "')]
    after = traceback[frames[-1] :] if frames else traceback[-1:]
    return next((each for each in after if not each.startswith(" ")), traceback[-1])


def _one_line(text: str) -> str:
    return " ".join(plain(text).split())
