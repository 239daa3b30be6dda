"""The picture of the dashboard in the docs, which anyone can take again."""

import subprocess
import sys
from pathlib import Path

import pytest

from browser import NOT_INSTALLED, executable
from job_runners.places import ROOT

PNG_SIZE = slice(16, 24)  # width and height, in the header


@pytest.mark.e2e
def test_the_picture_is_the_same_each_time_it_is_taken(tmp_path: Path) -> None:
    if not executable():
        pytest.skip(NOT_INSTALLED)
    taken = [tmp_path / "one.png", tmp_path / "two.png"]
    for file in taken:
        subprocess.run([sys.executable, "-m", "tools.site.picture", file], cwd=ROOT, check=True)
    one, two = (file.read_bytes() for file in taken)
    assert one == two
    in_docs = (ROOT / "docs/pictures/dashboard.png").read_bytes()
    assert one[PNG_SIZE] == in_docs[PNG_SIZE]
