"""Read the project: the packages of your own jobs and tasks, and their requirements."""

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
    """A project, checked: its path is absolute, and no package's name is taken."""

    path: Path
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
        """The file that names the packages that its work needs, which may not exist."""
        return requirements_file(self.path)

    @property
    def lock(self) -> Path:
        """The file that pins these packages with hashes, which may not exist."""
        return lock_file(self.path)

    @property
    def template(self) -> Path:
        """The template of its own stack, which may not exist."""
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
        why = why_not_a_package(name)
        if why is not None:
            raise UnusableAppFolder(f"{path / name}: {why}")
    config = path / CONFIG
    return AppFolder(path, packages, read_services(config), read_workers(config))


def why_not_a_package(name: str) -> str | None:
    """Return why this package name isn't allowed and how to change it, or None if it is allowed."""
    if not name.isidentifier() or keyword.iskeyword(name):
        return (
            f"Python can't import the name {name!r}. Use letters, digits and _, for example "
            f"{_identifier(name)}"
        )
    taken_by = _find_other_owner(name)
    if taken_by is None:
        return None
    return f"the name {name} is taken: {taken_by}. Rename it, for example to my_{name}"


def our_names() -> frozenset[str]:
    """Return the top-level names that an app's packages can't have."""
    return frozenset({"handlers", "job_runners", "tests"})


def _find_other_owner(name: str) -> str | None:
    if name in our_names():
        return f"Job Runners has a module {name}"
    if name in sys.stdlib_module_names:
        return "Python's standard library has a module with this name"
    site = sysconfig.get_path("purelib")
    if PathFinder.find_spec(name, [site]) is not None:
        return f"a dependency has a module with this name, in {site}"
    return None


def _identifier(name: str) -> str:
    text = "".join(each if each.isalnum() else "_" for each in name) or "acme"
    return f"my_{text}" if text[0].isdigit() or keyword.iskeyword(text) else text
