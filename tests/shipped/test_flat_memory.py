"""The memory of an import, an assigning or an export does not grow with its rows."""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from job_runners.places import ROOT

TESTS = ROOT / "tests"
# Rows, and five times as many: of an export both are more than one part, which is what it holds.
ROWS = 6_000
# KiB. The numbers an import has met cost 8 bytes each. Were the rows kept, those added here would
# take twice this and more.
MAY_GROW = 7_000


def peak(what: str, rows: int) -> int:
    """KiB that a process of its own had at most."""
    done = subprocess.run(
        [sys.executable, str(TESTS / "support" / "memory_probe.py"), what, str(rows)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout.split()[-1])


@pytest.mark.more
@pytest.mark.parametrize("what", ["import", "check", "assign", "export"])
def test_five_times_the_rows_take_no_more_memory(
    what: str, record_property: Callable[[str, object], None]
) -> None:
    few, many = peak(what, ROWS), peak(what, 5 * ROWS)
    assert many - few < MAY_GROW
    record_property(
        "figures",
        f"{what} of {ROWS:,} rows: {few / 1024:.0f} MB at most, "
        f"of {5 * ROWS:,}: {many / 1024:.0f} MB",
    )
