"""Runs Django projects in processes of their own, because a process has one Django."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from in_project import installed_code
from job_runners.places import ROOT

GUIDE = (ROOT / "docs/integrate/django.md").read_text()


def snippet(begins: str, page: str = GUIDE) -> str:
    """Return the only code in Python of a page that begins with this text."""
    every: list[str] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    [found] = [each for each in every if each.startswith(begins)]
    return found


def environment(**more: str) -> dict[str, str]:
    """Return this process's environment without the settings that its tests use."""
    kept = {name: value for name, value in os.environ.items() if "DJANGO" not in name}
    return kept | more


def manage(project: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command of Django in a project, in a shell that has read the run's env.sh."""
    file = project / ".local/env.sh"
    read = f'set -a; . "{file}"; ' if file.exists() else ""
    return subprocess.run(
        ["sh", "-c", f'{read}exec "$@"', "sh", sys.executable, "-m", "django", *arguments],
        cwd=project,
        env=environment(
            PYTHONPATH=os.pathsep.join([str(installed_code()), str(project)]),
            DJANGO_SETTINGS_MODULE="website.settings",
            **more,
        ),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def run_tests(project: Path, *python_path: Path) -> str:
    """Run a project's tests, and return the output."""
    places = (ROOT, *python_path, project)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "--quiet", "-p", "job_runners.testing.plugin"),
            *("-p", "no:cacheprovider", "--rootdir", project, project / "tests"),
        ],
        cwd=project,
        env=environment(
            PYTHONPATH=os.pathsep.join(map(str, places)),
            JOBS_PROJECT=str(project),
            JOB_RUNNERS_URL="http://127.0.0.1:9",
        ),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.stdout + done.stderr


def run(folder: Path, app: Mapping[str, str], installed: Mapping[str, str]) -> str:
    """Write an app's folder and installed modules, run the app's tests, and return the output."""
    for root, files in (("app", app), ("installed", installed)):
        for name, text in files.items():
            path = folder / root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return run_tests(folder / "app", folder / "installed")
