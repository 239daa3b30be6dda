"""Measure the CPU of one unit of work, such as a dispatch, in fresh processes that run in turn.

Each process measures itself (benchmarks/programs/measuring.py), and the last line that it prints is
the result.
"""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.bounds import instructions_of
from benchmarks.environment import ENVIRONMENT, PROGRAMS, WORK

_MEASUREMENTS = 4  # measurements that a process makes, each of the same number of units
# Two numbers of units per measurement. Instructions are counted with each, because the difference
# between the two counts excludes the cost of starting a process.
_FEW_AND_MANY = (5, 15)


class UnitFailed(Exception):
    """A program failed before it finished measuring. The message has its last line."""


@dataclass(frozen=True)
class Unit:
    """A function of a program that measures a unit of work."""

    call: str  # "program.function"
    arguments: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=lambda: {"PYTHONPATH": str(PROGRAMS)})

    def _command(self, units: int) -> list[str]:
        """Return the command that measures this number of units."""
        program, _, function = self.call.partition(".")
        given = ", ".join([str(units), *map(repr, self.arguments)])
        return [sys.executable, "-c", f"import {program}; {program}.{function}({given})"]

    def cpu(self, units: int, endpoint_url: str) -> float:
        """Return the CPU seconds of one unit, measured in a new process. Raises UnitFailed."""
        done = subprocess.run(
            self._command(units),
            env=self._environment(endpoint_url),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            reason = done.stderr.strip() or f"exit code {done.returncode}"
            raise UnitFailed(f"{self.call}: {reason.splitlines()[-1]}")
        return float(done.stdout.splitlines()[-1])

    def instructions(self, endpoint_url: str) -> float | None:
        """Return the number of instructions of a unit, or None if valgrind isn't installed."""
        environment = self._environment(endpoint_url) | {"PYTHONHASHSEED": "0"}
        few, many = (instructions_of(self._command(units), environment) for units in _FEW_AND_MANY)
        if few is None or many is None:
            return None
        return (many - few) / (_MEASUREMENTS * (_FEW_AND_MANY[1] - _FEW_AND_MANY[0]))

    def _environment(self, endpoint_url: str) -> dict[str, str]:
        return {**ENVIRONMENT, "AWS_ENDPOINT_URL": endpoint_url, **self.environment}


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
