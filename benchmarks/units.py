"""What one unit of work costs: CPU in fresh processes that take turns, of each the least.

Each process measures itself (benchmarks/programs/measuring.py) and prints the figure last.
"""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.environment import ENVIRONMENT, PROGRAMS, WORK


class UnitFailed(Exception):
    """A program did not come to the end of its measuring. The message is its last line."""


@dataclass(frozen=True)
class Unit:
    """A function of a program that measures a unit of work, and the interpreter that has what it
    imports."""

    call: str  # "program.function"
    arguments: Sequence[str] = ()
    interpreter: Path = Path(sys.executable)
    environment: Mapping[str, str] = field(default_factory=lambda: {"PYTHONPATH": str(PROGRAMS)})

    def code(self, units: int) -> str:
        """Return what an interpreter runs to measure so many units."""
        program, _, function = self.call.partition(".")
        given = ", ".join([str(units), *map(repr, self.arguments)])
        return f"import {program}; {program}.{function}({given})"

    def cpu(self, units: int, endpoint_url: str) -> float:
        """Return the seconds of CPU for one unit, as a new process measures them. Raises
        UnitFailed."""
        done = subprocess.run(
            [str(self.interpreter), "-c", self.code(units)],
            env={**ENVIRONMENT, "AWS_ENDPOINT_URL": endpoint_url, **self.environment},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            said = done.stderr.strip() or f"it ended with {done.returncode}"
            raise UnitFailed(f"{self.call}: {said.splitlines()[-1]}")
        return float(done.stdout.splitlines()[-1])


def ours(function: str, *arguments: str, **environment: str) -> Unit:
    """Return a unit of Job Runners, as it is in this checkout."""
    return Unit(f"ours.{function}", arguments, environment=WORK | environment)


def least_cpu(
    units: Mapping[str, Unit], rounds: int, size: int, endpoint_url: str
) -> dict[str, float]:
    """Return the least CPU of each unit, in seconds, over so many rounds of `size` units."""
    least = dict.fromkeys(units, float("inf"))
    for _ in range(rounds):
        for name, unit in units.items():
            least[name] = min(least[name], unit.cpu(size, endpoint_url))
    return least
