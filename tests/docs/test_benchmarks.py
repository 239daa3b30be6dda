"""The benchmarks run, and compare with boto3. What they measure is for people to read."""

import re
import subprocess
import sys

import pytest

from benchmarks.bounds import exceeds
from benchmarks.cold_start import AT_MOST, above
from benchmarks.fresh_process import Cost
from job_runners.places import ROOT


@pytest.mark.more
@pytest.mark.parametrize(
    ("lines", "arguments"),
    [
        (7, ["cold_start", "--rounds", "1", "--cpu-only"]),
        (5, ["overheads", "--rounds", "1", "--units", "1", "--cpu-only"]),
    ],
)
def test_a_benchmark_prints_ratios_to_a_peer(lines: int, arguments: list[str]) -> None:
    module, *options = arguments
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=180,
        check=True,
    )
    ratios = re.findall(r"^ *(\d+\.\d\d)  ", done.stdout, re.MULTILINE)
    assert len(ratios) == len(done.stdout.splitlines()) == lines
    assert "1.00" in ratios


def test_what_is_above_its_bound_is_told() -> None:
    costs = dict.fromkeys(AT_MOST, Cost(0.1, 0.2, 0.2))
    assert above(costs) == []
    slow = costs | {"API": Cost(0.2, 1.5, None), "timer": Cost(0.2, 1.5, 0.6)}
    assert above(slow) == [f"cold start, API: 1.50 (bound {AT_MOST['API']:.2f})"]


@pytest.mark.parametrize(
    ("cpu", "instructions", "is_above"),
    [(1.2, None, True), (1.2, 1.15, True), (1.2, 1.05, False), (1.05, 1.2, False)],
)
def test_a_bound_is_exceeded_if_instructions_say_so_too(
    cpu: float, instructions: float | None, is_above: bool
) -> None:
    assert exceeds(1.1, cpu, instructions) is is_above
