"""Compare a bulk dispatch with a loop of put_item and invoke: `python -m benchmarks.bulk`.

A server on the loopback stands in for AWS, and takes 15 ms for each call. The loop is bare boto3.
The bulk dispatch is a request to the API function, which makes the same calls in many threads. Each
runs in fresh processes, one directly after the other.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.environment import ENVIRONMENT, PROGRAMS, WORK
from benchmarks.loopback_aws import LoopbackAws, loopback_aws
from benchmarks.recording import read, recorded

CALL = 0.015  # seconds
LEAST = 20.0  # times as fast as the loop
MEMORY = 1024  # MB that the API function has (template.yaml)


class Found(NamedTuple):
    """The measurements, each the median of all rounds."""

    ratio: float  # the loop's time per job, divided by the bulk dispatch's
    loop: float  # jobs per second
    bulk: float
    memory: float  # MB that a process has used at most after bulk dispatches


def measure(rounds: int, jobs: int, loop_jobs: int) -> Found:
    """Measure a bulk dispatch of `jobs` jobs, and a loop over `loop_jobs` jobs."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        recording = recorded(Path(folder))
        with loopback_aws(read(recording), CALL) as aws:
            for _ in range(rounds):
                loop, _ = _run(aws, f"bare.loop({loop_jobs}, 1, {str(recording)!r})")
                seconds, memory = _run(aws, f"ours.bulk({jobs}, 2)")
                found.append((loop / loop_jobs, seconds / jobs, memory))
    loops, bulks, memories = zip(*found, strict=True)
    ratio = median(loop / bulk for loop, bulk in zip(loops, bulks, strict=True))
    return Found(ratio, 1 / median(loops), 1 / median(bulks), max(memories) / 1024)


def _run(aws: LoopbackAws, call: str) -> tuple[float, float]:
    """Call a function in a new process. Return the seconds and KiB that it prints."""
    python_path = {"PYTHONPATH": str(PROGRAMS)} if call.startswith("bare") else WORK
    done = subprocess.run(
        [sys.executable, "-c", f"import {call.partition('.')[0]}; {call}"],
        env={**ENVIRONMENT, "AWS_ENDPOINT_URL": aws.endpoint_url, **python_path},
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, memory = map(float, done.stdout.splitlines()[-1].split())
    return seconds, memory


def main() -> int:
    """Measure, print a table, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bulk", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1000, help="jobs of the bulk dispatch")
    parser.add_argument("--loop", type=int, default=100, help="jobs of the loop")
    parser.add_argument("--bounded", action="store_true", help="fail below 20, or above 1,024 MB")
    given = parser.parse_args()
    found = measure(given.rounds, given.jobs, given.loop)
    memory = f"at most {found.memory:.0f} MB of memory"
    print(f"{found.ratio:5.2f}  {found.bulk:5.0f} jobs/s  POST /jobs/bulk, with {memory}")
    print(f" 1.00  {found.loop:5.0f} jobs/s  put_item, then invoke, one job after another")
    return int(given.bounded and (found.ratio < LEAST or found.memory > MEMORY))


if __name__ == "__main__":
    sys.exit(main())
