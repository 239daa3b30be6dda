"""Measure what Job Runners costs and write docs/contributing/benchmarks.md: `python -m benchmarks`.

Each figure is a ratio to boto3 in the same run. The command fails if a bound is exceeded.
"""

import argparse
import sys
from pathlib import Path

from benchmarks import cold_start, overheads
from benchmarks.report import Report, written
from job_runners.places import CODE

PAGE = CODE / "docs" / "contributing" / "benchmarks.md"


def main() -> int:
    """Measure, and write the page. Return 1 if a bound is exceeded."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="rounds of fresh processes")
    parser.add_argument("--units", type=int, default=60, help="dispatches per measurement")
    parser.add_argument("--page", type=Path, default=PAGE)
    given = parser.parse_args()
    print("== Cold starts of the functions", flush=True)
    functions = cold_start.measure(given.rounds)
    others = {}
    for version in cold_start.other_pythons():
        print(f"== Cold starts of the functions on Python {version}", flush=True)
        others[version] = cold_start.measure(given.rounds, version=version)
    print("== What Job Runners adds to its calls", flush=True)
    report = Report(functions, others, overheads.measure(given.rounds, given.units))
    given.page.write_text(written(report))
    print(f"== Written: {given.page}")
    print("".join(f"{line}\n" for line in report.above), end="", file=sys.stderr)
    return 1 if report.above else 0


if __name__ == "__main__":
    sys.exit(main())
