"""How many files a reader opens to follow a plain job, from POST /jobs to its end, and what the two
functions import on the way."""

import re
import subprocess
import sys

from job_runners.places import ROOT


def test_a_plain_job_crosses_few_files() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tests/support/flow.py"],
        capture_output=True,
        text=True,
        check=True,
    )
    found = re.search(r"^both: (\d+) files, \d+ functions, (\d+) changes$", done.stdout, re.M)
    assert found is not None, done.stdout
    files, changes = map(int, found.groups())
    assert files <= 55
    assert changes <= 320
    # Imports within functions count too. Change the number only on purpose, as in
    # tests/build/test_cold_start.py, which counts what is imported before the first event.
    assert "\nimported: 124 modules\n" in done.stdout
