"""The lint of the dashboard's scripts: what a browser would find out too late fails `make lint`."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from job_runners.places import ROOT

ASSETS = ROOT / "job_runners/dashboard/assets"
(COMMAND,) = re.findall(r"^\t@(\.venv/bin/oxlint .*)$", (ROOT / "Makefile").read_text(), re.M)


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the command of `make lint` over the scripts in a folder."""
    program, *options, assets, site = COMMAND.split()
    assert (ROOT / assets, ROOT / site) == (ASSETS, ROOT / "tools/site")
    config = ["--config", str(ROOT / ".oxlintrc.json")]
    command = [str(ROOT / program), *options, *config, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


@pytest.mark.parametrize(
    ("name", "old", "new", "rule"),
    [
        ("api.js", "JSON.stringify(body)", "JSON.stringify(bodi)", "eslint(no-undef)"),
        ("jobs_view.js", "import { fill, h }", "import { fill as x, hh as h }", "import(named)"),
        ("api.js", "!response.ok", "!response.ok == true", "eslint(eqeqeq)"),
    ],
)
def test_a_broken_script_is_found(tmp_path: Path, name: str, old: str, new: str, rule: str) -> None:
    folder = shutil.copytree(ASSETS, tmp_path / "assets")
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new, 1))
    result = lint(folder)
    assert result.returncode == 1
    assert rule in result.stdout
