"""From an installed wheel and an empty folder to a changed job on the local AWS."""

import os
import shutil
import signal
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from installed import pip
from job_runners.building.build import CACHE
from job_runners.places import CODE as ROOT

pytestmark = pytest.mark.e2e


@dataclass(frozen=True)
class Newcomer:
    """A person with an environment that has the wheel, and a folder."""

    python: Path
    folder: Path
    cache: Path

    @property
    def environment(self) -> dict[str, str]:
        names = ("PATH", "HOME")
        given = {name: os.environ[name] for name in names if name in os.environ}
        return given | {"XDG_CACHE_HOME": str(self.cache), "COLUMNS": "200"}

    def jobs(self, *words: str) -> str:
        done = subprocess.run(
            [self.python.with_name("job-runners"), *words],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def newcomer(wheel: Path, tmp_path: Path) -> Newcomer:
    """Install the wheel next to the packages of its extra, and give it what it would download."""
    folder = tmp_path / "venv"
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    pip("install", "--no-index", "--no-deps", str(wheel), python=python)
    [packages] = folder.glob("lib/python3*/site-packages")
    (packages / "extra.pth").write_text("\n".join(p for p in sys.path if p.endswith("-packages")))
    found = Newcomer(python, tmp_path, tmp_path / "cache")
    code = "from job_runners.building.environments import tools_folder; print(tools_folder())"
    words = [str(python), "-P", "-c", code]
    said = subprocess.check_output(words, env=found.environment, cwd=tmp_path, text=True)
    tools = Path(said.strip()).parent
    tools.mkdir(parents=True)
    for entry in (ROOT / ".venv-aws").iterdir():
        (tools / entry.name).symlink_to(entry)
    shutil.copyfile(ROOT / ".venv-aws" / "pyvenv.cfg", tools / "made")
    CACHE.mkdir(exist_ok=True)
    (found.cache / "job-runners" / "build").symlink_to(CACHE)
    return found


@contextmanager
def running(newcomer: Newcomer, log: Path) -> Iterator[None]:
    """Run the project in a terminal of its own, and press Ctrl-C at the end."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [newcomer.python.with_name("job-runners"), "run"],
            cwd=newcomer.folder,
            env=newcomer.environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _wait(lambda: "Ctrl-C stops it" in log.read_text() or process.poll() is not None)
            assert process.poll() is None, log.read_text()
            yield
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)


def _wait(condition: Callable[[], bool], seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_changed_job_of_a_new_project_runs_on_the_local_aws(
    newcomer: Newcomer, tmp_path: Path
) -> None:
    newcomer.jobs("init", "acme-lists")
    project = tmp_path / "acme-lists"
    inside = Newcomer(newcomer.python, project, newcomer.cache)
    log = tmp_path / "run.log"
    dispatch = ("dispatch", "first_job", 'items:=["ada"]', "--watch")
    with running(inside, log):
        assert "succeeded" in inside.jobs(*dispatch)
        job = project / "acme_lists" / "first_job.py"
        job.write_text(job.read_text().replace('message=f"{done} done"', 'message="changed"'))
        _wait(lambda: "Reloaded: acme_lists" in log.read_text(), 30)
        assert "changed" in inside.jobs(*dispatch)
    assert not (project / ".local").exists()
