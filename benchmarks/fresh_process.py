"""CPU of fresh processes, run in turn so that a busy machine slows all alike; of each the least."""

import os
import subprocess
import sys
from collections.abc import Mapping

from benchmarks.environment import ENVIRONMENT
from tools.build import ROOT

BOTO3 = "boto3, with clients of DynamoDB and Lambda"
BOTO3_PROGRAM = "import boto3; boto3.client('dynamodb'); boto3.client('lambda')"


def compare(programs: Mapping[str, str], rounds: int) -> dict[str, float]:
    """Run each program beside boto3, and print a table; return each one's share of boto3's CPU."""
    programs = {BOTO3: BOTO3_PROGRAM, **programs}
    for program in programs.values():
        _cpu(program)  # compiles the bytecode that a deployed function ships with
    least = dict.fromkeys(programs, float("inf"))
    for _ in range(rounds):
        for name, program in programs.items():
            least[name] = min(least[name], _cpu(program))
    for name, seconds in least.items():
        print(f"{seconds / least[BOTO3]:5.2f}  {seconds * 1000:5.0f} ms CPU  {name}")
    return {name: seconds / least[BOTO3] for name, seconds in least.items()}


def _cpu(program: str) -> float:
    """Seconds of CPU that a new interpreter takes for a program."""
    process = subprocess.Popen([sys.executable, "-c", program], env=ENVIRONMENT, cwd=ROOT)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{program!r} failed")
    return used.ru_utime + used.ru_stime
