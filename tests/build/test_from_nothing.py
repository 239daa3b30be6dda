"""From a wheel and an empty environment to a build, and to a colleague's clone."""

import shutil
import subprocess
import sys
import venv
from dataclasses import replace
from pathlib import Path

import pytest

from job_runners.building.samconfig import Target
from needed_packages import needed
from newcomers import Newcomer, give_downloads
from package_index import index_of_this_environment, repacked

pytestmark = [pytest.mark.more, pytest.mark.nightly]


@pytest.fixture
def index(tmp_path: Path) -> str:
    """Return a package index with everything that job-runners[app] needs."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    real = [repacked(name, folder) for name in needed("app") - {"job-runners"}]
    return index_of_this_environment(tmp_path / "index", real)


def new_environment(folder: Path) -> Path:
    """Return the interpreter of an environment without packages."""
    venv.create(folder / ".venv", with_pip=False, symlinks=True)
    return folder / ".venv" / "bin" / "python"


def test_it_goes_from_a_wheel_to_a_build_and_to_a_clone(
    wheel: Path, index: str, tmp_path: Path
) -> None:
    folder = tmp_path / "acme-lists"
    folder.mkdir()
    python = new_environment(folder)
    uv = {"UV_CACHE_DIR": str(tmp_path / "uv")}
    newcomer = Newcomer(python, folder, tmp_path / "cache", index, uv)
    subprocess.run(
        [sys.executable, "-m", "uv", "pip", "install", "--python", python, f"{wheel}[app]"],
        env=newcomer.environment,
        check=True,
    )
    give_downloads(newcomer)
    assert newcomer.jobs("init", ".").count("cd ") == 0
    newcomer.uv("sync", "--locked")
    assert "2 passed" in newcomer.jobs("test")
    config = folder / "samconfig.toml"
    here = f"Architecture={Target.this_machine().architecture}"
    config.write_text(config.read_text().replace("Architecture=arm64", here))
    newcomer.jobs("build")
    for file in ("acme_lists/first_job.py", "pydantic/__init__.py"):
        assert (folder / ".aws-sam/build/WorkerFunction" / file).exists()
    assert not (folder / ".aws-sam/build/WorkerFunction/moto").exists()

    clone = tmp_path / "clone"
    ignored = shutil.ignore_patterns(".venv", ".aws-sam", ".jobs", "__pycache__", ".pytest_cache")
    shutil.copytree(folder, clone, ignore=ignored)
    colleague = replace(newcomer, python=new_environment(clone), folder=clone)
    subprocess.run(
        [sys.executable, "-m", "uv", "sync", "--locked"],
        cwd=clone,
        env=colleague.environment,
        check=True,
    )
    assert "2 passed" in colleague.jobs("test")
