"""Measure the cost of a cold start before the first request: `python -m benchmarks.cold_start`.

Each function starts from a built tree, and the client from this checkout. The cost is divided by
that of a process that imports boto3 and makes two clients (see benchmarks/fresh_process.py).
Compare these ratios, because the times depend on this machine.
"""

import argparse
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from benchmarks.environment import PROGRAMS
from benchmarks.fresh_process import Cost, Program, compare
from job_runners.building.build import build
from job_runners.building.samconfig import Target
from job_runners.places import CODE

_CLIENTS = "from job_runners.aws.clients import client; client('dynamodb'); client('lambda')"
_PROGRAMS = {
    "API": f"import job_runners.handlers.api; {_CLIENTS}",
    "worker, with only the DynamoDB client": (
        "import job_runners.handlers.worker; "
        "from job_runners.aws.clients import client; client('dynamodb')"
    ),
    "worker, up to the first line of a job with a payload model": (
        "import os, sys; os.environ['JOBS_PACKAGES'] = 'bench_work'; "
        # This folder comes last on the path, because a real function doesn't have it.
        f"sys.path.append({str(PROGRAMS)!r}); import bench_invocation"
    ),
    "timer": f"import job_runners.handlers.timer; {_CLIENTS}",
    "failures": f"import job_runners.handlers.failures; {_CLIENTS}",
}
_CLIENT = "another program, with the client and one signed dispatch"
# Nothing listens there, so the dispatch fails after it was signed.
_CLIENT_CODE = """
from job_runners import Client, NoAnswer
try:
    Client(url="http://127.0.0.1:9", max_attempts=1).dispatch("sync", {"list": 7})
except NoAnswer:
    pass
"""
# The most that each start may cost, divided by boto3's cost.
AT_MOST = dict(zip([*_PROGRAMS, _CLIENT], (1.03, 0.70, 1.03, 0.72, 0.70, 0.25), strict=True))


def measure(rounds: int, *, instructions: bool = True) -> dict[str, Cost]:
    """Build the tree, measure each start on this Python, and print a table."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        build(Target.this_machine(), tree)
        programs = {name: Program(code, (tree,)) for name, code in _PROGRAMS.items()}
        programs[_CLIENT] = Program(_CLIENT_CODE, (CODE,))
        return compare(programs, rounds, instructions=instructions)


def above(costs: Mapping[str, Cost]) -> list[str]:
    """Return a line for each start that exceeds its bound."""
    return [
        f"cold start, {name}: {costs[name].cpu_share:.2f} (bound {bound:.2f})"
        for name, bound in AT_MOST.items()
        if costs[name].is_above(bound)
    ]


def main() -> int:
    """Measure, print a table, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cold_start", description=__doc__)
    parser.add_argument("--rounds", type=int, default=26)
    parser.add_argument("--cpu-only", action="store_true", help="don't count instructions")
    parser.add_argument("--bounded", action="store_true", help="fail if a bound is exceeded")
    options = parser.parse_args()
    costs = measure(options.rounds, instructions=not options.cpu_only)
    if options.bounded and above(costs):
        print("\n".join(above(costs)), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
