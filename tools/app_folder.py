"""An organisation's folder: its packages of jobs and tasks, what they need, and where it all is.

It is `app/` in this checkout, or the folder that the variable APP names; a path that is relative is
so to the current folder. APP set to nothing means that there is none.
"""

import keyword
import os
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path

import settings
from tools.app_config import CONFIG, UnusableAppFolder, read_operations
from tools.botocore_data import Operations

__all__ = ["CONFIG", "AppFolder", "UnusableAppFolder", "find_app_folder", "read_app_folder"]

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class AppFolder:
    """An organisation's folder whose names clash with nothing. Paths are absolute."""

    path: Path
    packages: tuple[str, ...]
    operations: Operations  # of AWS, that its work calls beside ours

    @property
    def sources(self) -> dict[str, Path]:
        """What is built into the functions: the folder of each package, by its name."""
        return {name: self.path / name for name in self.packages}

    @property
    def named(self) -> str:
        """The folder as tracebacks name it: from this checkout, or its name alone."""
        inside = self.path.is_relative_to(ROOT)
        return str(self.path.relative_to(ROOT)) if inside else self.path.name

    @property
    def config(self) -> Path:
        """Its app.toml, which need not exist."""
        return self.path / CONFIG

    @property
    def requirements(self) -> Path:
        """What it needs, loosely: requirements.txt, which need not exist."""
        return self.path / "requirements.txt"

    @property
    def lock(self) -> Path:
        """The same pinned, with hashes: `make lock` writes it."""
        return self.path / "requirements.lock"

    @property
    def template(self) -> Path:
        """The template of its own stack, which need not exist."""
        return self.path / "template.yaml"

    @property
    def tests(self) -> Path:
        """Its tests, which need not exist."""
        return self.path / settings.APP_TESTS


def find_app_folder(environment: Mapping[str, str] = os.environ) -> AppFolder | None:
    """Return the organisation's folder, None if there is none.

    Raises UnusableAppFolder: APP names no folder, there is no package in it, a package has a name
    that is taken, or app.toml can't be read.
    """
    path = app_path(environment)
    return None if path is None else read_app_folder(path)


def app_path(environment: Mapping[str, str] = os.environ) -> Path | None:
    """Return where the organisation's folder is, None if there is none; raises UnusableAppFolder
    if APP names no folder."""
    path = settings.app_folder_path(environment, ROOT)
    if path is not None and not path.is_dir():
        what = "is a file" if path.exists() else "does not exist"
        raise UnusableAppFolder(
            f"APP={environment['APP']} can't be used: {path} {what}. Name the folder that has your "
            "packages, from here or from /"
        )
    return path


def read_app_folder(path: Path) -> AppFolder:
    """Return the folder at this path; raises UnusableAppFolder."""
    packages = settings.packages_in(path)
    if not packages:
        raise UnusableAppFolder(
            f"{path} has no package of yours: a folder with an __init__.py that defines JOBS or "
            "TASKS. bin/jobs new NAME writes one"
        )
    for name in packages:
        why = why_not_a_package(name)
        if why is not None:
            raise UnusableAppFolder(f"{path / name}: {why}")
    return AppFolder(path, packages, read_operations(path / CONFIG))


def why_not_a_package(name: str) -> str | None:
    """Return why an organisation's package can't have this name, and what to do; None if it can."""
    if not name.isidentifier() or keyword.iskeyword(name):
        return (
            f"{name!r} is no name that Python can import. Use letters, digits and _, as in "
            f"{_identifier(name)}"
        )
    taken_by = _owner(name)
    if taken_by is None:
        return None
    return f"the name {name} is taken: {taken_by}. Rename it, for instance to my_{name}"


def our_names() -> frozenset[str]:
    """Return the top-level names that code of ours is imported by."""
    found = {each.stem for each in ROOT.glob("*.py")}
    found |= {each.parent.name for each in ROOT.glob("*/__init__.py")}
    return frozenset(found - {"app"} | {"tests"})


def _owner(name: str) -> str | None:
    if name in our_names():
        return f"Job Runners has {name} too"
    if name in sys.stdlib_module_names:
        return "Python's standard library has a module of this name"
    site = sysconfig.get_path("purelib")
    if PathFinder.find_spec(name, [site]) is not None:
        return f"a dependency has a module of this name, in {site}"
    return None


def _identifier(name: str) -> str:
    text = "".join(each if each.isalnum() else "_" for each in name) or "acme"
    return f"my_{text}" if text[0].isdigit() or keyword.iskeyword(text) else text
