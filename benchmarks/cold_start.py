"""What a cold start costs before its first request: `python -m benchmarks.cold_start`.

CPU of fresh processes, run in turn so that a busy machine slows all alike; of each the least is
taken. Compare the ratios: the times are this machine's.
"""

import argparse
import os
import subprocess
import sys

from benchmarks.environment import ENVIRONMENT
from tools.build import ROOT

_PEER = "boto3, with clients of DynamoDB and Lambda"
_PROGRAMS = {
    _PEER: "import boto3; boto3.client('dynamodb'); boto3.client('lambda')",
    "API: handlers.api, with both clients": (
        "import handlers.api; from aws.clients import client; client('dynamodb'); client('lambda')"
    ),
    "worker: handlers.worker, with a client of DynamoDB": (
        "import handlers.worker; from aws import clients; clients.client('dynamodb')"
    ),
    "timer: handlers.timer, with both clients": (
        "import handlers.timer; from aws.clients import client; "
        "client('dynamodb'); client('lambda')"
    ),
}


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cold_start", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    for program in _PROGRAMS.values():
        _cpu(program)  # compiles the bytecode that a deployed function ships with
    least = dict.fromkeys(_PROGRAMS, float("inf"))
    for _ in range(rounds):
        for name, program in _PROGRAMS.items():
            least[name] = min(least[name], _cpu(program))
    for name, seconds in least.items():
        print(f"{seconds / least[_PEER]:5.2f}  {seconds * 1000:5.0f} ms CPU  {name}")


def _cpu(program: str) -> float:
    """Seconds of CPU that a new interpreter takes for a program."""
    process = subprocess.Popen([sys.executable, "-c", program], env=ENVIRONMENT, cwd=ROOT)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{program!r} failed")
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
