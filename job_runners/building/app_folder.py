"""Find and check the app's folder: the project with the packages that define its jobs and tasks."""

import keyword
import sys
import sysconfig
from dataclasses import dataclass, field
from importlib.machinery import PathFinder
from pathlib import Path

from job_runners import settings
from job_runners.building.app_config import (
    CONFIG,
    UnusableAppFolder,
    Workers,
    read_services,
    read_workers,
)
from job_runners.building.package_files import lock_file, requirements_file
from job_runners.places import COMMAND, PROJECT_VARIABLE, find_project

__all__ = ["CONFIG", "AppFolder", "UnusableAppFolder", "find_app_folder", "read_app_folder"]


@dataclass(frozen=True)
class AppFolder:
    """A project that has been checked: no package's name is taken."""

    path: Path  # absolute
    packages: tuple[str, ...]
    services: frozenset[str]  # AWS services in its app.toml
    workers: Workers = field(default_factory=dict)  # the worker classes in its app.toml

    @property
    def sources(self) -> dict[str, Path]:
        """The folders that a build copies into the functions, by package name."""
        return {name: self.path / name for name in self.packages}

    @property
    def config(self) -> Path:
        """Its app.toml, which may not exist."""
        return self.path / CONFIG

    @property
    def requirements(self) -> Path:
        """The file that lists the packages that its jobs and tasks need, which may not exist."""
        return requirements_file(self.path)

    @property
    def lock(self) -> Path:
        """The file that pins these packages with hashes, which may not exist."""
        return lock_file(self.path)

    @property
    def template(self) -> Path:
        """The template of the app's own stack, which may not exist."""
        return self.path / "own.template.yaml"

    @property
    def tests(self) -> Path:
        """The folder of its tests, which may not exist."""
        return self.path / settings.APP_TESTS


def find_app_folder() -> AppFolder | None:
    """Return the project, or None if there is none.

    Raises UnusableAppFolder if JOBS_PROJECT names no folder, the folder has no package, the name of
    a package is taken, or app.toml can't be read.
    """
    path = project_path()
    return None if path is None else read_app_folder(path)


def project_path() -> Path | None:
    """Return the path of the project, or None if there is none.

    Raises UnusableAppFolder if JOBS_PROJECT names no folder.
    """
    path = find_project()
    if path is not None and not path.is_dir():
        problem = "is a file" if path.exists() else "does not exist"
        raise UnusableAppFolder(
            f"The project can't be used: {path} {problem}. Set {PROJECT_VARIABLE} to the folder "
            "that contains your packages, as an absolute path or relative to the current folder"
        )
    return path


def read_app_folder(path: Path) -> AppFolder:
    """Read and check the folder at this path. Raises UnusableAppFolder."""
    packages = settings.packages_in(path)
    if not packages:
        raise UnusableAppFolder(
            f"{path} has no package of yours. A package is a folder with an __init__.py that "
            f"defines JOBS or TASKS. Create one with {COMMAND} new NAME"
        )
    for name in packages:
        problem = package_name_problem(name)
        if problem is not None:
            raise UnusableAppFolder(f"{path / name}: {problem}")
    config = path / CONFIG
    return AppFolder(path, packages, read_services(config), read_workers(config))


def package_name_problem(name: str) -> str | None:
    """Return why a package can't have this name and what to do, or None if it can."""
    if not name.isidentifier() or keyword.iskeyword(name):
        return (
            f"Python can't import the name {name!r}. Use letters, digits and _, for example "
            f"{_to_identifier(name)}"
        )
    conflict = _find_conflict(name)
    if conflict is None:
        return None
    return f"the name {name} is taken: {conflict}. Rename it, for example to my_{name}"


def our_names() -> frozenset[str]:
    """Return the top-level modules of Job Runners, whose names an app's packages can't have."""
    return frozenset({"handlers", "job_runners", "tests"})


def _find_conflict(name: str) -> str | None:
    if name in our_names():
        return f"Job Runners has a module {name}"
    if name in sys.stdlib_module_names:
        return "Python's standard library has a module with this name"
    site = sysconfig.get_path("purelib")
    if PathFinder.find_spec(name, [site]) is not None:
        return f"a dependency has a module with this name, in {site}"
    return None


def _to_identifier(name: str) -> str:
    text = "".join(letter if letter.isalnum() else "_" for letter in name) or "acme"
    if text[0].isdigit() or keyword.iskeyword(text):
        return f"my_{text}"
    return text
