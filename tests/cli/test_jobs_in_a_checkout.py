"""bin/job-runners acts on the project that PROJECT names, or on the example."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from job_runners.places import CODE

LAUNCHER = CODE / "bin" / "job-runners"
JOBS = "from job_runners.work import Job\n\nJOBS: dict[str, Job] = {}\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return the smallest project. Its table has no job yet."""
    folder = tmp_path / "acme lists"
    (folder / "acme").mkdir(parents=True)
    (folder / "acme" / "__init__.py").write_text(JOBS)
    shutil.copy(CODE / "examples" / "campaign" / "samconfig.toml", folder)
    return folder


def run(folder: Path, *command: str | Path, **given: str) -> subprocess.CompletedProcess[str]:
    """Run a command as in a shell that has no variables of ours."""
    ours = ("PROJECT", "JOBS_PROJECT", "PYTHONPATH")
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    return subprocess.run(
        command,
        cwd=folder,
        env=kept | given,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_the_project_is_the_one_that_project_names(project: Path) -> None:
    done = run(project.parent, LAUNCHER, "new", "sync_list", PROJECT=project.name)
    assert done.returncode == 0, done.stderr
    assert f"{project.name}/acme/sync_list.py" in done.stdout
    assert "Test it           bin/job-runners test\n" in done.stdout


def test_without_a_name_it_is_the_example(tmp_path: Path) -> None:
    done = run(tmp_path, LAUNCHER, "new", "sync_list", "--package", "handlers")
    assert f"{CODE}/examples/campaign/handlers: the name handlers is taken" in done.stderr


def test_a_folder_without_a_samconfig_is_refused(tmp_path: Path) -> None:
    done = run(tmp_path, LAUNCHER, "test", PROJECT=str(tmp_path))
    assert done.returncode == 1
    assert "create a project with bin/job-runners init NAME." in done.stderr
    assert f"JOBS_PROJECT names {tmp_path}, which has no samconfig.toml." in done.stderr


def test_what_a_command_writes_for_sam_builds_this_project(project: Path) -> None:
    """Also if sam runs without a command, and so without its variables."""
    code = "from job_runners.building.sam_folder import write_sam_folder as w\nprint(w())"
    given = {"JOBS_PROJECT": str(project), "PYTHONPATH": str(CODE)}
    written = Path(run(project, sys.executable, "-c", code, **given).stdout.strip())
    assert written == project / ".jobs"
    make = shutil.which("make")
    assert make
    words = ("build-ApiFunction", f"ARTIFACTS_DIR={project}/built", "BUILD_FOR=machine")
    done = run(project.parent, make, "-f", written / "Makefile", *words)
    assert done.returncode == 0, done.stderr
    assert (project / "built" / "app_packages.txt").read_text() == "acme\n"
    assert (project / "built" / "acme" / "__init__.py").read_text() == JOBS
