"""What a job's dispatch and run say to AWS, and what AWS answers: recorded from the code itself.

A peer with nothing of ours repeats the very same calls, and a server on the loopback gives the very
same answers: what is compared is the code around the calls.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.environment import ENVIRONMENT, PROGRAMS, WORK


@dataclass(frozen=True)
class Exchange:
    """One call of AWS: the body of its request, and that of its response."""

    operation: str
    request: str
    response: str


def recorded(folder: Path) -> Path:
    """Record in a process of its own; return the file, which `read` reads."""
    file = folder / "recording.json"
    command = [sys.executable, str(PROGRAMS / "record.py"), str(file)]
    subprocess.run(command, check=True, env=ENVIRONMENT | WORK, stdout=subprocess.DEVNULL)
    return file


def read(file: Path) -> list[Exchange]:
    """Return the calls of a recording, in their order."""
    return [Exchange(**each) for each in json.loads(file.read_text())]
