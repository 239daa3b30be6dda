"""The release, rehearsed: it is built and published to an index on this machine, and a person with
an empty environment goes from there to a finished job. Only the signing isn't rehearsed."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from job_runners import __version__
from job_runners.places import ROOT
from package_index import PASSWORD, USER, PackageIndex, package_index

NOT_RELEASED = (".*", "__pycache__", "dist", "docs", "examples", "tests")
OURS = ("JOBS_", "PYTHON", "PYTEST", "VIRTUAL_ENV")  # variables that a new terminal doesn't have


def found_pythons() -> list[str]:
    """Return this interpreter, and those of other versions on this machine."""
    this = f"python{sys.version_info.major}.{sys.version_info.minor}"
    others = [f"python3.{minor}" for minor in range(11, 15)]
    found = [_interpreter(each) for each in others if each != this]
    return [sys.executable, *(each for each in found if each is not None)]


def _interpreter(name: str) -> str | None:
    """Return a working interpreter with this name, from the PATH or from pyenv's folder."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    installed = sorted(map(str, pyenv.glob(f"versions/*/bin/{name}")), reverse=True)
    # On the PATH, pyenv has commands for versions that it doesn't start.
    return next((each for each in (name, *installed) if _runs(each)), None)


def _runs(python: str) -> bool:
    if shutil.which(python) is None:
        return False
    return subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PackageIndex]:
    """Build and publish this version with the scripts of the release, and yield the index."""
    tree = tmp_path_factory.mktemp("release") / "tree"
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(*NOT_RELEASED))
    (tree / ".venv").symlink_to(sys.prefix)
    shutil.copytree(ROOT / ".ci", tree / ".ci")
    prepare(tree)
    make = tree / "bin" / "make"
    make.write_text("#!/bin/sh\n")  # the environment is this one
    make.chmod(0o755)
    published = tree.parent / "index"
    published.mkdir()
    with package_index(published) as found:
        address = ["--publish-url", found.url, "--username", USER, "--password", PASSWORD]
        path = f"{make.parent}{os.pathsep}{os.environ['PATH']}"
        environment = new_terminal({"PATH": path, "PYTHON": sys.executable})
        for script in (["build_release"], ["publish_release", *address]):
            done = subprocess.run(
                ["sh", *script],
                cwd=tree / ".ci",
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stdout + done.stderr
        stem = f"job_runners-{__version__}"
        names = {f"{stem}.tar.gz", f"{stem}-py3-none-any.whl"}
        assert {each.name for each in published.iterdir()} == names
        yield found


def prepare(tree: Path) -> None:
    """Set the address and the date, unless the project's owner has set them."""
    for name, placeholder, new in (
        ("pyproject.toml", "/OWNER/", "/acme/"),
        ("CHANGELOG.md", "(unreleased)", "(2026-12-01)"),
    ):
        file = tree / name
        text = file.read_text()
        assert text.count(placeholder) <= 1
        file.write_text(text.replace(placeholder, new))


def test_the_rehearsal_takes_a_tree_with_and_without_placeholders(tmp_path: Path) -> None:
    for name in ("pyproject.toml", "CHANGELOG.md"):
        shutil.copy(ROOT / name, tmp_path)
    for _ in range(2):  # the second time, nothing is left to replace
        prepare(tmp_path)
        project = tomllib.loads((tmp_path / "pyproject.toml").read_text())["project"]
        assert "OWNER" not in project["urls"]["Repository"]
        heading = re.search(r"^## (.+)$", (tmp_path / "CHANGELOG.md").read_text(), re.MULTILINE)
        assert heading is not None
        assert re.fullmatch(rf"{re.escape(__version__)} \([0-9-]{{10}}\)", heading[1])


def new_terminal(variables: dict[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return kept | variables


@dataclass(frozen=True)
class Person:
    """A person in an empty folder, with an environment of a version of Python."""

    folder: Path
    environment: dict[str, str]

    def type(self, *words: str) -> str:
        done = subprocess.run(
            words,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def run_and_dispatch(self) -> str:
        """Start the local AWS, dispatch a job in another terminal, and press Ctrl-C."""
        shown = self.folder.with_name("run.out")
        with shown.open("wb") as output:
            running = subprocess.Popen(
                ["job-runners", "run"],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            give_up = time.monotonic() + 240
            while "Ctrl-C stops it" not in shown.read_text():
                assert running.poll() is None, shown.read_text()
                assert time.monotonic() < give_up, shown.read_text()
                time.sleep(0.2)
            return self.type("job-runners", "dispatch", "first_job", 'items:=["ada"]', "--watch")
        finally:
            os.killpg(running.pid, signal.SIGINT)
            running.wait(60)


@pytest.mark.e2e
@pytest.mark.more
@pytest.mark.nightly
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("python", found_pythons(), ids=lambda each: Path(each).name)
def test_a_person_goes_from_the_index_to_a_finished_job(
    index: PackageIndex, tmp_path: Path, python: str
) -> None:
    folder = tmp_path / "acme-lists"
    folder.mkdir()
    programs = folder / ".venv" / "bin"
    subprocess.run([python, "-m", "venv", programs.parent], check=True)
    variables = {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PIP_EXTRA_INDEX_URL": index.url_with_password,
        "UV_INDEX": index.url_with_password,
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "COLUMNS": "200",
    }
    person = Person(folder, new_terminal(variables))
    pins = tmp_path / "pins.txt"
    lock = (ROOT / "requirements" / "dev.txt").read_text()
    pins.write_text("\n".join(re.findall(r"^[\w.-]+==[^\s\\]+", lock, re.MULTILINE)))
    person.type("pip", "install", "-q", "-c", str(pins), f"job-runners[app]=={__version__}")
    assert f"/job_runners-{__version__}-py3-none-any.whl" in "".join(index.asked)
    person.type("job-runners", "init", ".")
    pyproject = (folder / "pyproject.toml").read_text()
    assert f'"job-runners[app]=={__version__}"' in pyproject
    assert "tool.uv.sources" not in pyproject  # it names no file of this machine
    assert index.url in (folder / "uv.lock").read_text()
    assert "2 passed" in person.type("job-runners", "test")
    assert "succeeded" in person.run_and_dispatch()
