"""Record the AWS calls that our code makes to dispatch and run a job, with their responses.

Bare boto3 then repeats exactly these calls, and a server on the loopback sends exactly these
responses. So the benchmark compares only the code around the calls.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.environment import ENVIRONMENT, PROGRAMS, WORK


@dataclass(frozen=True)
class Exchange:
    """One AWS call, with the bodies of its request and response."""

    operation: str
    request: str
    response: str


def recorded(folder: Path) -> Path:
    """Record the calls in another process. Return the file that `read` takes."""
    file = folder / "recording.json"
    command = [sys.executable, str(PROGRAMS / "record.py"), str(file)]
    subprocess.run(command, check=True, env=ENVIRONMENT | WORK, stdout=subprocess.DEVNULL)
    return file


def read(file: Path) -> list[Exchange]:
    """Return the calls of a recording, in order."""
    return [Exchange(**each) for each in json.loads(file.read_text())]
