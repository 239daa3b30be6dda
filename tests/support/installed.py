"""The wheel, built, and installed into an environment that holds nothing else."""

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from job_runners.places import ROOT


def pip(*words: str, python: Path | str = sys.executable) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*command, "--python", str(python), *words], cwd=ROOT, check=True, timeout=120)


def build_wheel(source: Path, folder: Path) -> Path:
    """Return the wheel, built from a source distribution or its tree."""
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(source))
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel, built from the source distribution, which is built from this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        timeout=120,
        capture_output=True,
    )
    [source] = folder.glob("*.tar.gz")
    return build_wheel(source, folder)


@pytest.fixture(scope="session")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the interpreter of an environment that holds the wheel, and nothing else."""
    folder = tmp_path_factory.mktemp("empty")
    venv.create(folder, with_pip=False)
    found = folder / "bin" / "python"
    pip("install", "--no-index", str(wheel), python=found)
    return found


def run(*words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return run_in(Path(words[0]).parent, *words, **environment)


def run_in(
    folder: Path, *words: str | Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    names = ("PATH", "HOME", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    given = {name: os.environ[name] for name in names if name in os.environ}
    return subprocess.run(
        [str(each) for each in words],
        cwd=folder,
        env=given | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
