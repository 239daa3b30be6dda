"""Create trees of new code next to the deployed tree, and check that they can be imported.

A tree has links to everything that has not changed (dependencies and our own packages), and a
compiled copy of each changed package.
"""

import contextlib
import hashlib
import itertools
import os
import py_compile
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from py_compile import PycInvalidationMode

from job_runners.building.app_check import TASK_ROOT, import_problem, start_import
from job_runners.building.app_folder import AppFolder
from job_runners.building.build import link
from job_runners.building.function_files import source_of
from job_runners.cli.local_aws import REGION
from job_runners.local.problem import LocalProblem


class BrokenCode(LocalProblem):
    """The saved code can't run. The message begins with the place, as file:line."""


@dataclass(frozen=True)
class Packages:
    """The packages and modules that functions run, both ours and the app's, by their names."""

    sources: Mapping[str, Path]

    def files(self) -> Iterator[tuple[str, Path]]:
        """Yield every file with the name of its package."""
        for name, source in self.sources.items():
            if source.is_dir():
                for folder, below, files in os.walk(source):
                    below[:] = [each for each in below if each != "__pycache__"]
                    yield from ((name, Path(folder, file)) for file in files)
            elif source.exists():
                yield name, source

    def digests(self) -> dict[str, str]:
        """Return a hash of each package's content."""
        hashes = {name: hashlib.sha256() for name, source in self.sources.items()}
        for name, path in sorted(self.files()):
            hashes[name].update(str(path.relative_to(self.sources[name])).encode())
            hashes[name].update(hashlib.sha256(path.read_bytes()).digest())
        return {name: each.hexdigest() for name, each in hashes.items()}

    def modules(self) -> list[str]:
        """Return the name of every module."""
        found = set()
        for name, path in self.files():
            if path.suffix == ".py":
                inside = Path(name) / path.relative_to(self.sources[name])
                parts = inside.with_suffix("").parts
                found.add(".".join(part for part in parts if part != "__init__"))
        return sorted(found)

    def source_path_of(self, place: str) -> str:
        """Return the source file of a path in the tree, relative to the current folder."""
        source = source_of(place, self.sources)
        return place if source is None else relative_path(source)


def relative_path(path: Path) -> str:
    """Return a path as a person in the current folder would write it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


@dataclass
class Trees:
    """The trees of one run: the deployed one, then one for each change."""

    folder: Path
    packages: Packages
    deployed: Path
    digests: dict[str, str]  # hashes of the packages when `deployed` was built
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _copies: dict[tuple[str, str], Path] = field(default_factory=dict)  # by package and hash

    def __post_init__(self) -> None:
        for name, digest in self.digests.items():
            if (self.deployed / name).exists():
                self._copies[name, digest] = self.deployed / name

    def create(self, digests: Mapping[str, str]) -> Path:
        """Create a tree of the current packages. Raises BrokenCode if a package doesn't compile."""
        tree = self.folder / f"changed-{next(self._numbers)}"
        tree.mkdir()
        top_level_names = {Path(name).parts[0] for name in self.packages.sources}
        for entry in self.deployed.iterdir():
            if entry.name not in top_level_names:
                (tree / entry.name).symlink_to(entry)
        for name, source in self.packages.sources.items():
            (tree / name).parent.mkdir(exist_ok=True)
            kept = self._copies.get((name, digests[name]))
            if kept is not None:
                (tree / name).symlink_to(kept)
            elif source.exists():
                self._copy(name, tree)
                self._copies[name, digests[name]] = tree / name
        return tree

    def rebuilt(
        self, packages: Packages, digests: dict[str, str], app: AppFolder | None
    ) -> "Trees":
        """Return trees with the app's current requirements and with these packages.

        Raises JobRunnersError if the requirements or the code can't be built.
        """
        tree = self.folder / f"changed-{next(self._numbers)}"
        tree.mkdir()
        link(tree, app)
        return Trees(self.folder, packages, tree, digests, self._numbers)

    def _copy(self, name: str, tree: Path) -> None:
        source, into = self.packages.sources[name], tree / name
        if source.is_dir():
            shutil.copytree(source, into, ignore=shutil.ignore_patterns("__pycache__"))
            files = sorted(into.rglob("*.py"))
        else:
            shutil.copy2(source, into)
            files = [into]
        for file in files:
            self._compile(file, str(file.relative_to(tree)))

    def _compile(self, file: Path, place: str) -> None:
        try:
            py_compile.compile(
                str(file),
                dfile=f"{TASK_ROOT}/{place}",
                doraise=True,
                invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
            )
        except py_compile.PyCompileError as error:
            cause = error.exc_value
            text = cause.msg if isinstance(cause, SyntaxError) else str(cause)
            line = cause.lineno if isinstance(cause, SyntaxError) else None
            raise BrokenCode(
                _with_place(self.packages, place, line, f"{error.exc_type_name}: {text}")
            ) from None


def _with_place(packages: Packages, place: str | None, line: int | None, text: str) -> str:
    if place is None:
        return text
    return f"{packages.source_path_of(place)}{f':{line}' if line else ''}: {text}"


class ImportChecker:
    """Imports all modules of a tree in a separate process. Close the checker after use."""

    def __init__(
        self, packages: Packages, variables: Mapping[str, str], requirements: Path | None = None
    ) -> None:
        """Prepare a checker. `variables` are the environment variables of the Lambda functions.
        As in a build, the modules can't read the app settings.

        If a package is missing, the message says to add it to the file `requirements`.
        """
        self.packages = packages
        self._variables = {"AWS_DEFAULT_REGION": REGION, **variables}
        self._variables.pop("APP_SETTINGS_PATH", None)
        self._requirements = requirements
        self._process: subprocess.Popen[str] | None = None
        self._is_closed = False
        self._lock = threading.Lock()

    def check(self, tree: Path) -> None:
        """Raise BrokenCode if a module can't be imported, or if a table such as JOBS is wrong."""
        with self._lock:
            if self._is_closed:
                raise BrokenCode("The check was stopped.")
            process = start_import(tree, self.packages.modules(), self._variables)
            self._process = process
        problem = import_problem(process, tree, self.packages.sources, self._requirements)
        if problem is not None:
            raise BrokenCode(problem)

    def close(self) -> None:
        """End a check that runs in another thread. Further checks fail."""
        with self._lock:
            self._is_closed = True
            if self._process is not None and self._process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
