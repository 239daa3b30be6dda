"""Compare the cost of fresh processes with one that imports boto3 and makes two clients.

To measure CPU, the programs run in turn, so that a busy machine slows all of them equally. Each
program's result is its lowest value. If valgrind is installed, instructions are counted too. Their
number doesn't depend on other programs on the machine.

Each process ends with `os._exit`, which skips the teardown of its modules. Lambda doesn't tear them
down either, because it freezes processes. The teardown would take a third of boto3's CPU.

Each process imports only from its own folders and from the standard library (`-I -S`). A first run,
which isn't measured, writes the bytecode.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from benchmarks.bounds import exceeds, instructions_of, ratio
from benchmarks.environment import ENVIRONMENT

BOTO3 = "boto3, with DynamoDB and Lambda clients"
_BOTO3_CODE = "import boto3; boto3.client('dynamodb'); boto3.client('lambda')"
_BOTO3_MODULES = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six", "urllib3")
_PROGRAM = "import sys; sys.path[:0] = {folders!r}\n{code}\nimport os; os._exit(0)"


@dataclass(frozen=True)
class Program:
    """Code that runs in its own process, and the folders from which it imports."""

    code: str
    folders: tuple[Path, ...]


@dataclass(frozen=True)
class Cost:
    """The cost of a process, also as shares of boto3's cost.

    The share of instructions is None if they weren't counted.
    """

    cpu: float  # seconds
    cpu_share: float
    instructions_share: float | None

    def is_above(self, bound: float) -> bool:
        """Return whether the cost exceeds a bound, as `exceeds` defines it."""
        return exceeds(bound, self.cpu_share, self.instructions_share)


def compare(
    programs: Mapping[str, Program], rounds: int, *, instructions: bool = False
) -> dict[str, Cost]:
    """Run each program and boto3. Print and return their costs."""
    with _boto3_alone() as folder:
        programs = {BOTO3: Program(_BOTO3_CODE, (folder,)), **programs}
        commands = {name: _command(program) for name, program in programs.items()}
        for command in commands.values():
            _cpu(command)  # the first run writes the bytecode
        lowest = dict.fromkeys(commands, float("inf"))
        for _ in range(rounds):
            for name, command in commands.items():
                lowest[name] = min(lowest[name], _cpu(command))
        counted = _instructions(commands) if instructions else {}
    costs = {
        name: Cost(
            seconds,
            seconds / lowest[BOTO3],
            ratio(counted.get(name), counted.get(BOTO3)),
        )
        for name, seconds in lowest.items()
    }
    for name, cost in costs.items():
        share = cost.instructions_share
        in_instructions = "" if share is None else f"{share:4.2f} of boto3's instructions  "
        print(f"{cost.cpu_share:5.2f}  {cost.cpu * 1000:5.0f} ms CPU  {in_instructions}{name}")
    return costs


@contextmanager
def _boto3_alone() -> Iterator[Path]:
    """Yield a folder with only boto3 and its dependencies. Imports from a larger one are slower."""
    with tempfile.TemporaryDirectory() as folder:
        for name in _BOTO3_MODULES:
            file = Path(import_module(name).__file__ or "")
            installed = file.parent if file.stem == "__init__" else file
            (Path(folder) / installed.name).symlink_to(installed)
        yield Path(folder)


def _cpu(command: list[str]) -> float:
    """Run a command, and return the seconds of CPU that it takes."""
    process = subprocess.Popen(command, env=ENVIRONMENT, cwd="/")
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command[-1]!r} failed")
    return used.ru_utime + used.ru_stime


def _instructions(commands: Mapping[str, list[str]]) -> dict[str, int | None]:
    # Commands can run at the same time, because that doesn't change their number of instructions.
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        counts = threads.map(lambda each: instructions_of(each, ENVIRONMENT), commands.values())
        return dict(zip(commands, counts, strict=True))


def _command(program: Program) -> list[str]:
    code = _PROGRAM.format(folders=[str(each) for each in program.folders], code=program.code)
    return [sys.executable, "-I", "-S", "-c", code]
