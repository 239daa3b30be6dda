"""Turn the output of work into log records.

Each line that a job or task prints, from any of its threads, becomes one record with the fields of
that job or task. The text is only ever the message inside the record, so it can't pass for a record
of ours. Output of Powertools is structured already, and stays as it is.
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

from runners.metrics import NAMESPACE
from work.alarm import defer_alarm

# Characters of a record's message; a longer line becomes several records. Lambda cuts log lines at
# 256 KB, and JSON may need six bytes for a character.
LONGEST = 32_000


class Place(NamedTuple):
    """Where in the code a text was printed."""

    file: str
    line: int
    function: str


Record = Callable[[str, str, Place], None]  # arguments: a text, the name of its stream, its place


class _Begun(NamedTuple):
    """A line that has begun and not ended."""

    text: str
    place: Place


class _Lines:
    """The lines that a piece of work has begun.

    There is one for each stream and thread, because output of two threads must not run together.
    """

    def __init__(self) -> None:
        self._begun: dict[tuple[_Stream, int, bool], _Begun] = {}

    def write(self, stream: "_Stream", text: str, place: Place, *, structured: bool) -> None:
        """Write the lines that this text ends, and keep the rest."""
        key = (stream, threading.get_ident(), structured)
        begun = self._begun.pop(key, None)
        *ended, rest = ((begun.text if begun else "") + text).split("\n")
        for line in ended:
            stream.end(line, place, structured=structured)
        if not structured:
            rest = _overwritten(rest)
            while len(rest) > LONGEST:
                stream.end(rest[:LONGEST], place, structured=False)
                rest = rest[LONGEST:]
        if rest:
            self._begun[key] = _Begun(rest, place)

    def end(self) -> None:
        """Write the lines that were begun."""
        for key in list(self._begun):
            begun = self._begun.pop(key, None)
            if begun is not None:
                stream, _, structured = key
                stream.end(begun.text, begun.place, structured=structured)


_lines: ContextVar[_Lines | None] = ContextVar("lines", default=None)


class _ThreadState(threading.local):
    recording = False


_thread = _ThreadState()


class _Stream:
    """Stands in for sys.stdout or sys.stderr. Output that isn't from work passes through
    unchanged."""

    def __init__(self, name: str, stream: TextIO, record: Record) -> None:
        self.name = name
        self._stream = stream
        self._record = record

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @property
    def buffer(self) -> "_Bytes":
        """Return a stand-in for the stream's buffer."""
        return _Bytes(self)

    def write(self, text: str) -> int:
        """Write output of work as records, one for each line, and other output unchanged."""
        lines = _lines.get()
        if lines is None or _thread.recording:
            return self._stream.write(text)
        caller = sys._getframe(1)
        code = caller.f_code
        place = Place(code.co_filename, caller.f_lineno, code.co_name)
        with defer_alarm():  # otherwise an alarm could lose the current line
            lines.write(self, text, place, structured=_is_powertools(caller))
        return len(text)

    def writelines(self, texts: Iterable[str]) -> None:
        """Write each text."""
        for text in texts:
            self.write(text)

    def close(self) -> None:
        """Do nothing, because the log stays open even if a job closes its output."""

    def end(self, line: str, place: Place, *, structured: bool) -> None:
        """Write a complete line: as records, or unchanged if it is `structured` or has metrics."""
        if structured or _has_metrics(line):
            self._stream.write(line + "\n")
            self._stream.flush()
            return
        line = _overwritten(line.removesuffix("\r"))
        _thread.recording = True  # a handler may print its own errors
        try:
            for start in range(0, len(line) or 1, LONGEST):
                self._record(line[start : start + LONGEST], self.name, place)
        finally:
            _thread.recording = False


class _Bytes:
    """Stands in for the buffer of a stream, which accepts bytes."""

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
def of_work() -> Iterator[None]:
    """Treat output inside the block as that of one piece of work.

    Output of threads that are started inside the block belongs to it too.
    """
    token = _lines.set(_Lines())
    try:
        yield
    finally:
        end_lines()
        _lines.reset(token)


def end_lines() -> None:
    """Write the current work's unfinished lines, because the next log line comes after them."""
    lines = _lines.get()
    if lines is not None:
        lines.end()


def _overwritten(text: str) -> str:
    """Return the visible rest of a line with carriage returns, as a terminal would show it.

    Progress bars use carriage returns to overwrite a line.
    """
    return text[text.rfind("\r", 0, -1) + 1 :]


def _is_powertools(frame: FrameType) -> bool:
    """Return whether Powertools writes this: metrics, or the line of a logger."""
    if str(frame.f_globals.get("__name__")).startswith("aws_lambda_powertools."):
        return True
    if frame.f_code is not logging.StreamHandler.emit.__code__:
        return False
    return isinstance(frame.f_locals["self"].formatter, BasePowertoolsFormatter)


def _has_metrics(line: str) -> bool:
    """Return whether a line is metrics in CloudWatch's embedded format, in any namespace but ours.

    CloudWatch finds such a line only if it stays unchanged.
    """
    if '"_aws"' not in line:
        return False
    try:
        directives = json.loads(line)["_aws"]["CloudWatchMetrics"]
        return all(directive["Namespace"] != NAMESPACE for directive in directives)
    except (KeyError, TypeError, ValueError):
        return False
