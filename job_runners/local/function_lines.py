"""The lines that functions log, in a file that `job-runners run` follows to show jobs.

Both ministack's process, which writes the file, and `job-runners run` use this module.
"""

import json
import os
from pathlib import Path

# In the folder of the run. The file is written only if it exists when ministack starts.
LINES_FILE = "function-lines"
_READ_BYTES = 1_000_000  # of one read


class LineWriter:
    """Appends lines to the file. Each is a JSON list: the function's name, and the text."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND) if path.exists() else None

    def write(self, function: str, text: str) -> None:
        """Append a line. Lines that other threads write don't end up inside it."""
        if self._file is not None:
            os.write(self._file, f"{json.dumps([function, text])}\n".encode())


class LineReader:
    """Reads the lines that are appended after the reader was created."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = path.stat().st_size

    def read(self) -> list[tuple[str, str]]:
        """Return the next complete lines: the function's name, and the text."""
        with self._path.open("rb") as file:
            file.seek(self._position)
            complete, newline, _ = file.read(_READ_BYTES).rpartition(b"\n")
        self._position += len(complete) + len(newline)
        return [(function, text) for function, text in map(json.loads, complete.splitlines())]
