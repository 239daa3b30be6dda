"""The benchmarks run, and compare with boto3. What they measure is for people to read."""

import re
import subprocess
import sys

import pytest

from job_runners.building.build import ROOT


@pytest.mark.more
@pytest.mark.parametrize(
    ("lines", "arguments"),
    [
        (6, ["cold_start", "--rounds", "1", "--cpu-only"]),
        (10, ["overheads", "--rounds", "1", "--units", "1", "--cpu-only"]),
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
