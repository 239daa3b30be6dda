"""The page about a built-in job: its steps, word for word, in a copy of the project."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from job_runners.building.new_job import add_definition
from job_runners.places import ROOT

# Tests that look at every job, or at the jobs that pages show.
TESTS = ("engine/registry/test_registry.py", "docs/test_docs.py", "docs/test_imports.py")


def add_the_job(project: Path) -> None:
    """Write the file, the name and the definition that the page shows to where it says."""
    page = (ROOT / "docs/contributing/built_in_jobs.md").read_text()
    job, tables = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    path, source = job.removeprefix("# ").split("\n", 1)
    (project / path).write_text(source)
    name, imported, _, definition = re.findall(r"^[^#\n].*$", tables, re.MULTILINE)
    names = project / "job_runners/shipped/jobs/names.py"
    names.write_text(f"{names.read_text().rstrip()}\n    {name}\n")
    table = project / "job_runners/shipped/jobs/table.py"
    text = table.read_text().replace(
        "from job_runners.shipped.jobs.names", f"{imported}\nfrom job_runners.shipped.jobs.names"
    )
    changed = add_definition(text, definition)
    assert changed
    table.write_text(changed)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a copy with the job in it."""
    copied = tmp_path / "project"
    hidden = shutil.ignore_patterns(".*", "__pycache__")
    shutil.copytree(ROOT, copied, ignore=hidden)
    add_the_job(copied)
    return copied


@pytest.mark.more
def test_the_job_of_the_page_breaks_no_test(project: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "--quiet", "-n", "0", "-p", "no:cacheprovider"]
        + [f"tests/{name}" for name in TESTS],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]


def test_the_job_of_the_page_breaks_no_rule(project: Path) -> None:
    for command in ("check", "format --check"):
        run = subprocess.run(
            [
                sys.executable,
                "-m",
                "ruff",
                *command.split(),
                "--no-cache",
                "job_runners/shipped/jobs",
            ],
            cwd=project,
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stdout
