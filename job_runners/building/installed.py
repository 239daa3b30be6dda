"""Whether this environment has what the project's lock pins.

They differ when a colleague has changed the lock, until you install what you pulled.
"""

import hashlib
import os
import re
import sys
import tomllib
import zipfile
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Any

from job_runners import __version__
from job_runners.building.app_config import UnusableAppFolder
from job_runners.building.app_requirements import OURS, blocks, lock_problem, requirement_in
from job_runners.building.package_files import lock_file, uses_uv
from job_runners.building.uv import shown_uv, uv
from job_runners.places import PROJECT

_CHECK = ("sync", "--locked", "--check", "--inexact", "--no-install-project", "--no-default-groups")
_SHOWN = 4  # packages that a message names


class NotAsLocked(UnusableAppFolder):
    """The environment lacks packages that the project's lock pins, or has other versions."""


def check() -> None:
    """Raise NotAsLocked if the environment differs from the project's lock."""
    if problem := difference():
        raise NotAsLocked(problem)


def difference() -> str | None:
    """Return a line that says how the environment differs from the lock, or None if it doesn't."""
    if PROJECT is None or not lock_file(PROJECT).exists():
        return None  # a build says it if the project needs a lock
    if not uses_uv(PROJECT):
        return _difference_to_pip_lock(lock_file(PROJECT))
    try:
        ours = distribution(OURS)
    except PackageNotFoundError:  # this is a checkout, whose environment isn't the project's
        return None
    done = uv(
        # pip only builds wheels, and each environment begins with a version of its own.
        [*_CHECK, "--no-install-package", OURS, "--no-install-package", "pip"],
        PROJECT,
        {"UV_PROJECT_ENVIRONMENT": sys.prefix, "VIRTUAL_ENV": sys.prefix},
        quiet=False,
        installs=False,
    )
    if done.returncode == 0:
        return _another_build(PROJECT, ours.read_text("RECORD") or "")
    changes = re.findall(r"^ [-+~] (\S+)", done.stderr, re.MULTILINE)
    if not changes:
        return lock_problem(PROJECT, done.stderr)
    return _differs("uv.lock", changes, _sync(PROJECT))


def _differs(lock: str, changes: list[str], command: str) -> str:
    more = f" and {len(changes) - _SHOWN} more" if len(changes) > _SHOWN else ""
    named = ", ".join(changes[:_SHOWN])
    return (
        f"The installed packages differ from {lock}: {named}{more}. To install them, run {command}"
    )


def _sync(project: Path) -> str:
    """Return the command that installs the lock into this environment."""
    is_own = Path(sys.prefix) == project / ".venv"
    is_active = os.environ.get("VIRTUAL_ENV") == sys.prefix
    if is_own or is_active:
        return shown_uv("sync" if is_own else "sync --active")
    return f"UV_PROJECT_ENVIRONMENT={sys.prefix} {shown_uv('sync')}"


def _another_build(project: Path, record: str) -> str | None:
    """Return how the pinned Job Runners differs from the installed one, or None if it doesn't.

    All builds of a version have one file name. So compare what a wheel contains with the `record`
    of what was installed.
    """
    packages = tomllib.loads((project / "uv.lock").read_text(encoding="utf-8"))["package"]
    pinned: dict[str, Any] = next((each for each in packages if each["name"] == OURS), {})
    if pinned.get("version", __version__) != __version__:
        return (
            f"uv.lock pins Job Runners {pinned['version']}, but {__version__} is installed. Run "
            f"{_sync(project)}"
        )
    wheel = project / pinned.get("source", {}).get("path", "")
    if wheel.suffix != ".whl" or not wheel.is_file():
        return None
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if any(each.get("hash") != f"sha256:{digest}" for each in pinned.get("wheels", [])):
        return (
            f"{wheel} is another build than the one that uv.lock pins. To pin it, run "
            f"{shown_uv(f'lock --upgrade-package {OURS}')}, then {_sync(project)}"
        )
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [each for each in archive.namelist() if each.endswith(".dist-info/RECORD")]
        listed = archive.read(name).decode().splitlines()
    if set(listed) <= set(record.splitlines()):
        return None
    return (
        f"uv.lock pins {wheel.relative_to(project)}, but another build of Job Runners "
        f"{__version__} is installed. Run {_sync(project)}"
    )


def _difference_to_pip_lock(lock: Path) -> str | None:
    changes = []
    for name, text in blocks(lock.read_text(encoding="utf-8")):
        pinned = requirement_in(text)
        if pinned is None or (pinned.marker and not pinned.marker.evaluate()):
            continue
        try:
            if not pinned.specifier.contains(version(name), prereleases=True):
                changes.append(f"{name}{pinned.specifier}")
        except PackageNotFoundError:
            changes.append(f"{name}{pinned.specifier}")
    return _differs(lock.name, changes, shown_uv(f"pip install -r {lock}")) if changes else None
