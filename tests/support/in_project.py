"""Runs commands as in an environment that has Job Runners installed."""

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from job_runners.places import CODE


def jobs(
    folder: Path, *words: str, project: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run the installed command."""
    return python(folder, "-m", "job_runners.cli", *words, project=project, **variables)


def python(
    folder: Path, *words: str, project: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    given = {"PYTHONPATH": str(installed_code()), "JOBS_PROJECT": str(project or "")}
    return subprocess.run(
        [sys.executable, "-P", *words],
        cwd=folder,
        env={**os.environ, **given, **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@cache
def installed_code() -> Path:
    """Return a folder with the files of a wheel, which is removed when this process ends."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    unneeded = shutil.ignore_patterns("__pycache__")
    shutil.copytree(CODE / "job_runners", folder / "job_runners", ignore=unneeded)
    data = folder / "job_runners" / "data"
    for name in ("requirements", "events"):
        (data / name).mkdir(parents=True)
    for name in (
        "template.yaml",
        "CHANGELOG.md",
        "requirements/runtime.txt",
        "requirements/aws.txt",
        "events/env.json",
        "events/timer_minute.json",
    ):
        shutil.copyfile(CODE / name, data / name)
    return folder
