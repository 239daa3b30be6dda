"""Turn what a job or task prints into log records.

Each line, from any of its threads, becomes one record with the fields of that job or task. The text
is always the message inside a record, so printed text can't pass for a record of ours. Output of
Powertools is already structured, and stays as it is.
"""

import json
import logging
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType
from typing import Any, NamedTuple, TextIO, cast

from aws_lambda_powertools.logging.formatter import BasePowertoolsFormatter

from job_runners.engine.telemetry.metrics import NAMESPACE
from job_runners.work.alarm import defer_alarm

# The maximum number of characters in a record's message. A longer line becomes several records,
# because Lambda cuts log lines at 256 KB, and JSON may need six bytes for a character.
MAX_MESSAGE_LENGTH = 32_000


class Location(NamedTuple):
    """The code that printed a text."""

    file: str
    line: int
    function: str


Record = Callable[[str, str, Location], None]
"""Writes a record of a text that was printed to the stream of this name, at this location."""


class _UnfinishedLine(NamedTuple):
    """The beginning of a line whose line break wasn't printed yet."""

    text: str
    location: Location


class _Lines:
    """The unfinished lines of one job or task: one for each stream and thread."""

    def __init__(self) -> None:
        self._unfinished: dict[tuple[_Stream, int, bool], _UnfinishedLine] = {}

    def write(self, stream: "_Stream", text: str, location: Location, *, structured: bool) -> None:
        """Write the lines that this text completes, and keep the rest as an unfinished line."""
        key = (stream, threading.get_ident(), structured)
        unfinished = self._unfinished.pop(key, None)
        if unfinished is not None:
            text = unfinished.text + text
        *complete_lines, rest = text.split("\n")
        for line in complete_lines:
            stream.write_line(line, location, structured=structured)
        if not structured:
            rest = _visible_part(rest)
            while len(rest) > MAX_MESSAGE_LENGTH:
                stream.write_line(rest[:MAX_MESSAGE_LENGTH], location, structured=False)
                rest = rest[MAX_MESSAGE_LENGTH:]
        if rest:
            self._unfinished[key] = _UnfinishedLine(rest, location)

    def end(self) -> None:
        """Write the unfinished lines."""
        for key in list(self._unfinished):
            unfinished = self._unfinished.pop(key, None)
            if unfinished is not None:
                stream, _, structured = key
                stream.write_line(unfinished.text, unfinished.location, structured=structured)


_lines: ContextVar[_Lines | None] = ContextVar("lines", default=None)


class _ThreadState(threading.local):
    is_recording = False


_thread = _ThreadState()


class _Stream:
    """Replaces sys.stdout or sys.stderr. Other output than that of work passes unchanged."""

    def __init__(self, name: str, stream: TextIO, record: Record) -> None:
        self.name = name
        self._stream = stream
        self._record = record

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @property
    def buffer(self) -> "_Bytes":
        """Return a replacement for the stream's buffer."""
        return _Bytes(self)

    def write(self, text: str) -> int:
        """Write output of work as records, one per line, and other output unchanged."""
        lines = _lines.get()
        if lines is None or _thread.is_recording:
            return self._stream.write(text)
        caller = sys._getframe(1)
        code = caller.f_code
        location = Location(code.co_filename, caller.f_lineno, code.co_name)
        with defer_alarm():  # an alarm in the middle of this could lose the current line
            lines.write(self, text, location, structured=_is_powertools(caller))
        return len(text)

    def writelines(self, texts: Iterable[str]) -> None:
        """Write each text."""
        for text in texts:
            self.write(text)

    def close(self) -> None:
        """Do nothing, so that the log stays open even if a job closes its output."""

    def write_line(self, line: str, location: Location, *, structured: bool) -> None:
        """Write a complete line: as records, or unchanged if it is `structured` or has metrics."""
        if structured or _has_metrics(line):
            self._stream.write(line + "\n")
            self._stream.flush()
            return
        line = _visible_part(line.removesuffix("\r"))
        _thread.is_recording = True  # a log handler may print its own errors, which pass unchanged
        try:
            length = len(line) or 1  # an empty line is a record too
            for start in range(0, length, MAX_MESSAGE_LENGTH):
                self._record(line[start : start + MAX_MESSAGE_LENGTH], self.name, location)
        finally:
            _thread.is_recording = False


class _Bytes:
    """Replaces the buffer of a stream, which accepts bytes."""

    def __init__(self, stream: _Stream) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Write bytes as UTF-8 text."""
        self._stream.write(bytes(data).decode(errors="replace"))
        return len(data)


def capture(record: Record) -> None:
    """Record the output of work with `record` from now on. Further calls change nothing."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if not isinstance(stream, _Stream):
            setattr(sys, name, cast(TextIO, _Stream(name, stream, record)))


@contextmanager
def work_output() -> Iterator[None]:
    """Treat output inside the block, and of threads started there, as that of one job or task."""
    token = _lines.set(_Lines())
    try:
        yield
    finally:
        end_lines()
        _lines.reset(token)


def end_lines() -> None:
    """Write the current work's unfinished lines, so that they come before the next log line."""
    lines = _lines.get()
    if lines is not None:
        lines.end()


def _visible_part(line: str) -> str:
    """Return the part of a line that a terminal would still show.

    Progress bars print a carriage return to overwrite the line from its start.
    """
    last_return = line.rfind("\r", 0, -1)  # -1 if there is none
    return line[last_return + 1 :]


def _is_powertools(frame: FrameType) -> bool:
    """Return whether Powertools prints from this frame: metrics, or the line of a logger."""
    if str(frame.f_globals.get("__name__")).startswith("aws_lambda_powertools."):
        return True
    if frame.f_code is not logging.StreamHandler.emit.__code__:
        return False
    return isinstance(frame.f_locals["self"].formatter, BasePowertoolsFormatter)


def _has_metrics(line: str) -> bool:
    """Return whether a line contains metrics in CloudWatch's embedded format, but not our own.

    Such a line must stay unchanged, or CloudWatch wouldn't recognize it.
    """
    if '"_aws"' not in line:
        return False
    try:
        directives = json.loads(line)["_aws"]["CloudWatchMetrics"]
        return all(directive["Namespace"] != NAMESPACE for directive in directives)
    except (KeyError, TypeError, ValueError, RecursionError):  # RecursionError: deeply nested JSON
        return False
