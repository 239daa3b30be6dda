"""The benchmarks run, and compare with boto3. What they measure is for people to read."""

import re
import subprocess
import sys
from dataclasses import replace

import pytest

from benchmarks.cold_start import AT_MOST, above
from benchmarks.fresh_process import Cost
from benchmarks.overheads import Measured, Overhead
from benchmarks.units import Unit
from job_runners.building.build import ROOT

_OVERHEAD = Overhead("a dispatch", Unit("ours.job"), "bare boto3", Unit("bare.job"), at_most=1.1)


@pytest.mark.more
@pytest.mark.parametrize(
    ("lines", "arguments"),
    [
        (6, ["cold_start", "--rounds", "1", "--cpu-only"]),
        (8, ["overheads", "--rounds", "1", "--units", "1", "--cpu-only"]),
        (3, ["client", "--rounds", "1"]),
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
    costs = dict.fromkeys(AT_MOST, Cost(0.1, 0.6, 0.6))
    assert above(costs) == []
    slow = costs | {"API": Cost(0.2, 1.5, None), "timer": Cost(0.2, 1.5, 0.6)}
    assert above(slow) == [f"cold start, API: 1.50 (bound {AT_MOST['API']:.2f})"]
    assert Measured(_OVERHEAD, [1.2], [1.0]).summary == "a dispatch: 1.20 (bound 1.10)"
    assert not Measured(replace(_OVERHEAD, at_most=None), [1.2], [1.0]).is_above


@pytest.mark.parametrize(
    ("cpu", "instructions", "is_above"),
    [(1.2, None, True), (1.2, 1.15, True), (1.2, 1.05, False), (1.05, 1.2, False)],
)
def test_a_bound_is_exceeded_if_instructions_say_so_too(
    cpu: float, instructions: float | None, is_above: bool
) -> None:
    assert Measured(_OVERHEAD, [cpu], [1.0], instructions).is_above is is_above


def test_a_ratio_is_that_of_most_rounds_whatever_the_machine_did_in_one() -> None:
    quick_once = Measured(_OVERHEAD, ours=[1.1, 2.2, 1.1], peer=[1.0, 2.0, 0.5])
    assert quick_once.ratio == pytest.approx(1.1)
