"""A person with an environment into which the wheel was installed, and an empty folder."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from installed import build_wheel, pip
from job_runners import __version__
from job_runners.building.app_folder import AppFolder
from job_runners.building.build import CACHE, _dependencies
from job_runners.building.samconfig import Target
from job_runners.places import CODE as ROOT
from package_index import index_of_this_environment

_MINOR, _, _PATCH = __version__.rpartition(".")
NEXT = f"{_MINOR}.{int(_PATCH) + 1}"  # the next version, which a test pretends


@dataclass(frozen=True)
class Newcomer:
    """The environment, and the folder in which commands are typed."""

    python: Path
    folder: Path
    cache: Path
    index: str  # the address of a package index
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        names = ("PATH", "HOME")
        given = {name: os.environ[name] for name in names if name in os.environ}
        ours = {"XDG_CACHE_HOME": str(self.cache), "COLUMNS": "200", "UV_OFFLINE": "1"}
        ours |= {"UV_DEFAULT_INDEX": self.index}
        ours |= {"UV_PROJECT_ENVIRONMENT": str(self.python.parents[1])}
        return given | ours | self.variables

    def run(self, *words: str, timeout: float = 200) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.python.with_name("job-runners"), *words],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def jobs(self, *words: str, timeout: float = 200) -> str:
        done = self.run(*words, timeout=timeout)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def uv(self, *words: str) -> str:
        done = subprocess.run(
            [str(self.python), "-m", "uv", *words],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stderr

    def add_wheel(self, wheel: Path) -> None:
        """Change the project's version of Job Runners, as docs/operate/upgrading.md says."""
        copy = self.folder / "wheels" / wheel.name
        if copy != wheel:
            shutil.copyfile(wheel, copy)
        words = ("--extra", "app", "--upgrade-package", "job-runners", f"wheels/{wheel.name}")
        self.uv("add", *words)

    def inside(self, name: str) -> "Newcomer":
        return replace(self, folder=self.folder / name)


@pytest.fixture
def newcomer(wheel: Path, tmp_path: Path) -> Newcomer:
    """Return a person with the wheel."""
    return new_newcomer(wheel, tmp_path)


def new_newcomer(wheel: Path, tmp_path: Path) -> Newcomer:
    """Install the wheel next to the packages of its extra, and give it what it would download.

    uv finds these packages by copies of their metadata, so that it can never remove the originals.
    """
    folder = tmp_path / "venv"
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    pip("install", "--no-index", "--no-deps", str(wheel), python=python)
    [packages] = folder.glob("lib/python3*/site-packages")
    [site] = {Path(each) for each in sys.path if each.endswith("site-packages")}
    (packages / "extra.pth").write_text(str(site))
    for each in site.glob("*.dist-info"):
        (packages / each.name).mkdir()
        for name in ("METADATA", "RECORD", "INSTALLER"):
            if (each / name).exists():
                shutil.copyfile(each / name, packages / each.name / name)
    index = index_of_this_environment(tmp_path / "index")
    found = Newcomer(python, tmp_path, tmp_path / "cache", index)
    give_downloads(found)
    return found


def give_downloads(found: Newcomer) -> None:
    """Give a person what the first build and run would download."""
    code = "from job_runners.building.sam import tools_folder; print(tools_folder())"
    words = [str(found.python), "-P", "-c", code]
    said = subprocess.check_output(words, env=found.environment, cwd=found.folder, text=True)
    tools = Path(said.strip()).parent
    tools.mkdir(parents=True)
    for entry in (ROOT / ".venv-aws").iterdir():
        (tools / entry.name).symlink_to(entry)
    shutil.copyfile(ROOT / ".venv-aws" / "pyvenv.cfg", tools / "made")
    CACHE.mkdir(exist_ok=True)
    (found.cache / "job-runners" / "build").symlink_to(CACHE)
    # What builds of a project without requirements of its own install, here and on Lambda.
    machine = Target.this_machine()
    for target in (machine, Target(machine.architecture, machine.python_runtime)):
        _dependencies(target, AppFolder(found.folder, (), frozenset()))


@pytest.fixture(scope="session")
def next_wheel(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel of a next version, with a changed template and another attribute of rows."""
    folder = tmp_path_factory.mktemp("next")
    [source] = wheel.parent.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        archive.extractall(folder, filter="data")
    [tree] = [each for each in folder.iterdir() if each.is_dir()]
    (tree / "PKG-INFO").unlink()  # it would decide the version
    _edit(tree / "job_runners" / "__init__.py", r'__version__ = ".*"', f'__version__ = "{NEXT}"')
    _edit(tree / "template.yaml", r"\A(.*\n)", r"\1# A new line of the next version\n")
    attribute = f'written_by = nullable(UnicodeAttribute(default="{NEXT}"))'
    fields = tree / "job_runners" / "store" / "job_fields.py"
    _edit(fields, r"( +)row_version = .*\n", rf"\g<0>\1{attribute}\n")
    return build_wheel(tree, folder)


def _edit(file: Path, old: str, new: str) -> None:
    text, count = re.subn(old, new, file.read_text(), count=1)
    assert count == 1
    file.write_text(text)
