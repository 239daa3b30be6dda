"""Runs commands as in a project, but with this checkout's code."""

import os
import subprocess
import sys
from pathlib import Path

from job_runners.places import CODE


def jobs(
    folder: Path, *words: str, project: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run the command as in a project, but with this checkout's code."""
    return python(folder, "-m", "job_runners.cli", *words, project=project, **variables)


def python(
    folder: Path, *words: str, project: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    given = {name: value for name, value in os.environ.items() if name != "APP"}
    if project is not None:
        given |= {"JOBS_PROJECT": str(project), "JOBS_COMMAND": "jobs"}
    return subprocess.run(
        [sys.executable, "-P", *words],
        cwd=folder,
        env=given | {"PYTHONPATH": str(CODE)} | variables,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
