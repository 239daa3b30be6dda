"""Create a project."""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from job_runners.building.app_folder import UnusableAppFolder, why_not_a_package
from job_runners.building.install_problems import described
from job_runners.building.new_job import filled, new_job
from job_runners.building.own_source import OwnSource, own_source
from job_runners.building.target import this_python
from job_runners.building.uv import shown_uv, uv

_FILES = {
    "pyproject.toml": "pyproject.toml.in",
    "samconfig.toml": "samconfig.toml.in",
    "README.md": "readme.in",
    ".gitignore": "gitignore.in",
    ".python-version": "python-version.in",
}
_WORKFLOWS = {
    ".github/workflows/test.yml": "test.yml.in",
    ".github/workflows/deploy.yml": "deploy.yml.in",
    ".github/workflows/advisories.yml": "advisories.yml.in",
}
# A new folder may already have these.
_HARMLESS = frozenset({".git", ".venv", "venv", ".idea", ".vscode", "LICENSE"})


def new_project(folder: Path, *, github: bool) -> list[Path]:
    """Write the project without uv.lock, and return its files. Raises UnusableAppFolder."""
    name = project_name(folder)
    package = name.replace("-", "_")
    if (why := why_not_a_package(package)) is not None:
        raise UnusableAppFolder(f"The project's package can't be {package}: {why}")
    _check_empty(folder)
    own = own_source()
    facts = {"name": name, "package": package, "python": this_python()}
    facts |= {"requirement": own.requirement, "source": own.in_pyproject}
    files = {**_FILES, **(_WORKFLOWS if github else {})}
    written = [_write_file(folder / path, source, facts) for path, source in files.items()]
    written += _copy_wheel(own, folder)
    return written + new_job("first_job", package, folder.resolve()).files


def lock(folder: Path) -> str | None:
    """Write uv.lock. Return what prevents it, or None.

    A project whose jobs need no packages works without a lock.
    """
    done = uv(["lock"], folder)
    if done.returncode == 0:
        return None
    return (
        f"uv.lock was not written. To write it, run {shown_uv('lock')} in {folder}. Now it fails:\n"
        f"{described(done.stderr, 'this machine')}"
    )


def _copy_wheel(own: OwnSource, folder: Path) -> list[Path]:
    """Copy the wheel that Job Runners was installed from, so that each machine can install it."""
    if own.wheel is None:
        return []
    copy = folder / "wheels" / own.wheel.name
    copy.parent.mkdir()
    shutil.copyfile(own.wheel, copy)
    return [copy]


def _check_empty(folder: Path) -> None:
    """Raise UnusableAppFolder if the folder has files that a new project doesn't expect."""
    if folder.exists() and {each.name for each in folder.iterdir()} - _HARMLESS:
        raise UnusableAppFolder(f"{folder} isn't empty. Choose a new or an empty folder")


def _write_file(file: Path, source: str, facts: Mapping[str, str]) -> Path:
    """Write one of a project's files, and return it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(filled(source, facts), encoding="utf-8")
    return file


def project_name(folder: Path) -> str:
    """Return the name of the project in a folder."""
    name = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-")
    return name if name[:1].isalpha() else f"jobs-{name}".strip("-")
