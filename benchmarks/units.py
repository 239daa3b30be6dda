"""Measure the CPU of one unit of work, such as a dispatch, in fresh processes that run in turn.

Each process measures itself (benchmarks/programs/measuring.py), and the last line that it prints is
the result.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.environment import ENVIRONMENT, PROGRAMS, WORK

_MEASUREMENTS = 4  # measurements that a process makes, each of the same number of units
# Two numbers of units per measurement. Instructions are counted with each, because the difference
# between the two counts excludes the cost of starting a process.
_FEW_AND_MANY = (5, 15)


class UnitFailed(Exception):
    """A program failed before it finished measuring. The message has its last line."""


@dataclass(frozen=True)
class Unit:
    """A function that measures a unit of work, and the interpreter that has its dependencies."""

    call: str  # "program.function"
    arguments: Sequence[str] = ()
    interpreter: Path = Path(sys.executable)
    environment: Mapping[str, str] = field(default_factory=lambda: {"PYTHONPATH": str(PROGRAMS)})

    def code(self, units: int) -> str:
        """Return the code that measures this number of units."""
        program, _, function = self.call.partition(".")
        given = ", ".join([str(units), *map(repr, self.arguments)])
        return f"import {program}; {program}.{function}({given})"

    def cpu(self, units: int, endpoint_url: str) -> float:
        """Return the CPU seconds of one unit, measured in a new process. Raises UnitFailed."""
        done = subprocess.run(
            [str(self.interpreter), "-c", self.code(units)],
            env={**ENVIRONMENT, "AWS_ENDPOINT_URL": endpoint_url, **self.environment},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            reason = done.stderr.strip() or f"exit code {done.returncode}"
            raise UnitFailed(f"{self.call}: {reason.splitlines()[-1]}")
        return float(done.stdout.splitlines()[-1])

    def instructions(self, endpoint_url: str) -> float | None:
        """Return the number of instructions of a unit, or None if valgrind isn't installed.

        The number doesn't depend on other programs on the machine.
        """
        valgrind = shutil.which("valgrind")
        if valgrind is None:
            return None
        few, many = (
            self._count_instructions(valgrind, units, endpoint_url) for units in _FEW_AND_MANY
        )
        return (many - few) / (_MEASUREMENTS * (_FEW_AND_MANY[1] - _FEW_AND_MANY[0]))

    def _count_instructions(self, valgrind: str, units: int, endpoint_url: str) -> int:
        """Return the number of instructions of a process that measures this number of units."""
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
    """Return a unit of Job Runners from this checkout."""
    return Unit(f"ours.{function}", arguments, environment=WORK | environment)


def cpu_in_turns(
    units: Mapping[str, Unit], rounds: int, size: int, endpoint_url: str
) -> dict[str, list[float]]:
    """Return the CPU seconds of each unit in each round, with `size` units per measurement.

    In each round, the units are measured one directly after another.
    """
    found: dict[str, list[float]] = {name: [] for name in units}
    for _ in range(rounds):
        for name, unit in units.items():
            found[name].append(unit.cpu(size, endpoint_url))
    return found
