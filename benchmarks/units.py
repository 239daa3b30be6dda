"""What one unit of work costs: CPU in fresh processes that take turns.

Each process measures itself (benchmarks/programs/measuring.py) and prints the figure last.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.environment import ENVIRONMENT, PROGRAMS, WORK

_STRETCHES = 4  # that a program measures, each of as many units
_FEW_AND_MANY = (5, 15)  # units: what starting costs is in both


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

    def instructions(self, endpoint_url: str) -> float | None:
        """Return how many instructions a unit takes, which do not depend on what else the machine
        does; None without valgrind, which counts them."""
        valgrind = shutil.which("valgrind")
        if valgrind is None:
            return None
        few, many = (self._counted(valgrind, units, endpoint_url) for units in _FEW_AND_MANY)
        return (many - few) / (_STRETCHES * (_FEW_AND_MANY[1] - _FEW_AND_MANY[0]))

    def _counted(self, valgrind: str, units: int, endpoint_url: str) -> int:
        """Return how many instructions a process takes that measures so many units."""
        counter = [
            valgrind,
            "--tool=cachegrind",
            "--cache-sim=no",
            "--cachegrind-out-file=/dev/null",
        ]
        done = subprocess.run(
            [*counter, str(self.interpreter), "-c", self.code(units)],
            env={
                **ENVIRONMENT,
                "AWS_ENDPOINT_URL": endpoint_url,
                "PYTHONHASHSEED": "0",
                **self.environment,
            },
            capture_output=True,
            text=True,
            check=True,
        )
        counted = re.search(r"I\s+refs:\s+([\d,]+)", done.stderr)
        if counted is None:
            raise UnitFailed(f"valgrind counted nothing: {done.stderr.strip()[-200:]}")
        return int(counted[1].replace(",", ""))


def ours(function: str, *arguments: str, **environment: str) -> Unit:
    """Return a unit of Job Runners, as it is in this checkout."""
    return Unit(f"ours.{function}", arguments, environment=WORK | environment)


def cpu_in_turns(
    units: Mapping[str, Unit], rounds: int, size: int, endpoint_url: str
) -> dict[str, list[float]]:
    """Return the CPU of each unit, in seconds, in each of so many rounds of `size` units: all of a
    round are measured one right after the other."""
    found: dict[str, list[float]] = {name: [] for name in units}
    for _ in range(rounds):
        for name, unit in units.items():
            found[name].append(unit.cpu(size, endpoint_url))
    return found
