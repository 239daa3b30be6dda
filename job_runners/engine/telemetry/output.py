"""Turn what a job or task prints into log records.

Each line that any thread of the job or task prints becomes one record with the fields of that job
or task. The text is always the message inside a record, so printed text can't pass for a record of
ours. The library Powertools prints JSON lines of its own. They stay unchanged.
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

# The maximum number of characters in a record. A longer line becomes several records, because
# Lambda cuts log lines at 256 KB, and JSON may need six bytes for a character.
MAX_MESSAGE_LENGTH = 32_000


class Location(NamedTuple):
    """The line of code that printed something."""

    file: str
    line: int
    function: str


WriteRecord = Callable[[str, str, Location], None]
"""Writes a record. The arguments are the printed text, the stream's name, and the location."""


class _UnfinishedLine(NamedTuple):
    """A line whose line break hasn't been printed yet."""

    text: str
    location: Location


class _LineBuffer:
    """The unfinished lines of one job or task, by stream and thread.

    Text is `structured` if it is JSON that Powertools has written.
    """

    def __init__(self) -> None:
        self._unfinished: dict[tuple[_CapturedStream, int, bool], _UnfinishedLine] = {}

    def write(
        self, stream: "_CapturedStream", text: str, location: Location, *, structured: bool
    ) -> None:
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

    def flush(self) -> None:
        """Write the unfinished lines."""
        for key in list(self._unfinished):
            unfinished = self._unfinished.pop(key, None)
            if unfinished is not None:
                stream, _, structured = key
                stream.write_line(unfinished.text, unfinished.location, structured=structured)


_current_buffer: ContextVar[_LineBuffer | None] = ContextVar("line_buffer", default=None)


class _ThreadState(threading.local):
    is_writing_record = False


_thread_state = _ThreadState()


class _CapturedStream:
    """Replaces sys.stdout or sys.stderr. It captures only what jobs and tasks print."""

    def __init__(self, name: str, original: TextIO, write_record: WriteRecord) -> None:
        self.name = name
        self._original = original
        self._write_record = write_record

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)

    @property
    def buffer(self) -> "_CapturedBytes":
        """Return a replacement for the stream's buffer."""
        return _CapturedBytes(self)

    def write(self, text: str) -> int:
        """Write the output of a job or task as records, one per line."""
        line_buffer = _current_buffer.get()
        if line_buffer is None or _thread_state.is_writing_record:
            return self._original.write(text)
        caller = sys._getframe(1)
        code = caller.f_code
        location = Location(code.co_filename, caller.f_lineno, code.co_name)
        with defer_alarm():  # an alarm in the middle of this could lose the current line
            line_buffer.write(self, text, location, structured=_is_powertools(caller))
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
            self._original.write(line + "\n")
            self._original.flush()
            return
        line = _visible_part(line.removesuffix("\r"))
        # If a log handler prints an error in the meantime, `write` must not make a record of it.
        _thread_state.is_writing_record = True
        try:
            length = len(line) or 1  # an empty line is a record too
            for start in range(0, length, MAX_MESSAGE_LENGTH):
                self._write_record(line[start : start + MAX_MESSAGE_LENGTH], self.name, location)
        finally:
            _thread_state.is_writing_record = False


class _CapturedBytes:
    """Replaces the buffer of a stream, which accepts bytes."""

    def __init__(self, stream: _CapturedStream) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Write bytes as UTF-8 text."""
        self._stream.write(bytes(data).decode(errors="replace"))
        return len(data)


def capture(write_record: WriteRecord) -> None:
    """From now on, write what jobs and tasks print with `write_record`.

    Calling this again changes nothing.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if not isinstance(stream, _CapturedStream):
            setattr(sys, name, cast(TextIO, _CapturedStream(name, stream, write_record)))


@contextmanager
def work_output() -> Iterator[None]:
    """Capture what the block and its threads print, as the output of one job or task."""
    token = _current_buffer.set(_LineBuffer())
    try:
        yield
    finally:
        end_lines()
        _current_buffer.reset(token)


def end_lines() -> None:
    """Write the unfinished lines of the current job or task, before the next log line."""
    line_buffer = _current_buffer.get()
    if line_buffer is not None:
        line_buffer.flush()


def _visible_part(line: str) -> str:
    """Return the part of a line that a terminal would still show.

    Progress bars print a carriage return to overwrite the line from its start.
    """
    # Begin after the last carriage return, but ignore one at the end, because it overwrites nothing
    # yet. Without a carriage return, `rfind` returns -1, so the line begins at 0.
    line_start = line.rfind("\r", 0, -1) + 1
    return line[line_start:]


def _is_powertools(frame: FrameType) -> bool:
    """Return whether Powertools prints from this frame: metrics, or the line of a logger."""
    if str(frame.f_globals.get("__name__")).startswith("aws_lambda_powertools."):
        return True
    if frame.f_code is not logging.StreamHandler.emit.__code__:
        return False
    return isinstance(frame.f_locals["self"].formatter, BasePowertoolsFormatter)


def _has_metrics(line: str) -> bool:
    """Return whether a job printed this line to emit its own CloudWatch metrics.

    Such a line must stay unchanged, or CloudWatch wouldn't recognize it.
    """
    if '"_aws"' not in line:
        return False
    try:
        directives = json.loads(line)["_aws"]["CloudWatchMetrics"]
        return all(directive["Namespace"] != NAMESPACE for directive in directives)
    except (KeyError, TypeError, ValueError, RecursionError):  # RecursionError: deeply nested JSON
        return False
