"""Count instructions, and decide whether a measurement exceeds its bound."""

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence

_COUNTER = ("--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null")


def exceeds(bound: float, cpu: float, instructions: float | None) -> bool:
    """Return whether our cost, divided by a peer's, exceeds a bound.

    `cpu` is the ratio of CPU, and `instructions` the ratio of instructions, if they were counted.
    Both must exceed the bound. CPU alone isn't enough, because it also depends on caches and on
    other programs. Those differ between runs, and between this machine and Lambda.
    """
    return cpu > bound and (instructions is None or instructions > bound)


def ratio(ours: float | None, peer: float | None) -> float | None:
    """Return our cost divided by a peer's, or None if one wasn't counted."""
    return None if ours is None or peer is None else ours / peer


def instructions_of(command: Sequence[str], environment: Mapping[str, str]) -> int | None:
    """Return the number of instructions of a command, or None if valgrind isn't installed.

    The number doesn't depend on other programs on the machine.
    """
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        return None
    done = subprocess.run(
        [valgrind, *_COUNTER, *command],
        env=dict(environment),
        capture_output=True,
        text=True,
        check=True,
    )
    counted = re.search(r"I\s+refs:\s+([\d,]+)", done.stderr)
    if counted is None:
        raise SystemExit(f"valgrind counted nothing:\n{done.stderr}")
    return int(counted[1].replace(",", ""))
