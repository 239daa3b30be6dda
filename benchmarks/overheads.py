"""Measure what Job Runners adds to its AWS calls: `python -m benchmarks.overheads`.

It compares the CPU of a unit of work, such as one dispatch, with bare boto3 that makes exactly the
same calls. Each process answers its calls itself (benchmarks/programs/units.py), so that only the
code is measured. Compare the ratios, because the times depend on this machine.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.bounds import exceeds, instructions_of, ratio
from benchmarks.environment import ENVIRONMENT, PROGRAMS, WORK

# Two numbers of units per measurement. Instructions are counted with each, because the difference
# between the two counts excludes the cost of starting a process.
_FEW, _MANY = 5, 15


@dataclass(frozen=True)
class Overhead:
    """A unit of work, and the bound of its cost divided by that of bare boto3."""

    title: str
    unit: str
    at_most: float | None = None
    environment: Mapping[str, str] = field(default_factory=dict)

    def cpu(self, size: int, folder: Path) -> float:
        """Return the ratio of CPU. Both are measured now, with `size` units per measurement."""
        seconds = []
        for unit in (self.unit, "bare"):
            done = subprocess.run(
                self._command(unit, size, folder),
                env=self._environment(),
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            seconds.append(float(done.stdout.splitlines()[-1]))
        ours, peer = seconds
        return ours / peer

    def instructions(self, folder: Path) -> float | None:
        """Return the ratio of instructions, or None if valgrind isn't installed.

        `cpu` must have made the recording of the calls.
        """
        environment = self._environment() | {"PYTHONHASHSEED": "0"}
        counts = []
        for unit in (self.unit, "bare"):
            few, many = (
                instructions_of(self._command(unit, size, folder), environment)
                for size in (_FEW, _MANY)
            )
            counts.append(None if few is None or many is None else many - few)
        return ratio(*counts)

    def _command(self, unit: str, size: int, folder: Path) -> Sequence[str]:
        recording = folder / f"{self.title}.json"
        return [sys.executable, str(PROGRAMS / "units.py"), unit, str(size), str(recording)]

    def _environment(self) -> dict[str, str]:
        return {**ENVIRONMENT, **WORK, **self.environment}


OVERHEADS = (
    Overhead("dispatching a job", "job", at_most=1.08),
    Overhead(
        "dispatching a job, with its log line",
        "job",
        environment={"POWERTOOLS_LOG_LEVEL": "INFO"},
    ),
    Overhead("dispatching a task", "task"),
    Overhead("a worker's run of a job, from the claim to the outcome", "work", at_most=1.20),
)


def measure(rounds: int, size: int, *, instructions: bool = True) -> list[str]:
    """Measure each overhead and print a table. Return a line for each that exceeds its bound.

    The ratio of CPU is the median of the rounds. Dividing the lowest values would be less accurate,
    because they could come from different rounds, and the machine's speed changes.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cpu = [[each.cpu(size, folder) for each in OVERHEADS] for _ in range(rounds)]
        found = {
            each.title: each.instructions(folder)
            for each in OVERHEADS
            if instructions and each.at_most is not None
        }
    print(" 1.00  bare boto3 that makes the same calls")
    above = []
    for overhead, ratios in zip(OVERHEADS, zip(*cpu, strict=True), strict=True):
        share, in_instructions = median(ratios), found.get(overhead.title)
        text = "" if in_instructions is None else f"  {in_instructions:4.2f} in instructions"
        print(f"{share:5.2f}{text}  {overhead.title}")
        bound = overhead.at_most
        if bound is not None and exceeds(bound, share, in_instructions):
            above.append(f"{overhead.title}: {share:.2f} (bound {bound:.2f})")
    return above


def main() -> int:
    """Measure, print a table, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overheads", description=__doc__)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument(
        "--units", type=int, default=100, help="units per measurement (a process makes four)"
    )
    parser.add_argument("--bounded", action="store_true", help="fail if a bound is exceeded")
    parser.add_argument("--cpu-only", action="store_true", help="don't count instructions")
    options = parser.parse_args()
    above = measure(options.rounds, options.units, instructions=not options.cpu_only)
    if options.bounded and above:
        print("\n".join(above), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
