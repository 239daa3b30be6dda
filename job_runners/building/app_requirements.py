"""The packages that the project's lock pins for the functions.

python -m job_runners.building.app_requirements installs them into this environment, as a checkout
of Job Runners does.
"""

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from job_runners import __version__
from job_runners.building.app_folder import AppFolder, UnusableAppFolder, find_app_folder
from job_runners.building.install_problems import described
from job_runners.building.package_files import PIP_LOCK, uses_uv
from job_runners.building.target import Target
from job_runners.building.uv import shown_uv, uv
from job_runners.errors import JobRunnersError
from job_runners.places import DATA, ROOT

OUR_LOCK = DATA / "requirements" / "runtime.txt"
OURS = "job-runners"
_EXPORT = ("export", "--locked", "--no-default-groups", "--no-emit-project", "--prune", OURS)
_FORMAT = ("--format", "requirements.txt", "--no-header", "--no-annotate")


def locked(app: AppFolder | None) -> str:
    """Return the project's pins in pip's format with hashes, or "" if it needs no packages.

    Raises UnusableAppFolder if the lock is missing, if uv's is outdated, or if it has no hashes.
    """
    if app is None:
        return ""
    is_needed = _needs_packages(app.requirements)
    if uses_uv(app.path):
        return _exported(app) if is_needed else ""
    # requirements.txt may name the packages in another file: -r base.txt
    return _of_pip(app) if is_needed or app.lock.exists() else ""


def check_version(project: Path) -> None:
    """Raise UnusableAppFolder if uv.lock pins another version of Job Runners than this one, which a
    build would deploy."""
    lock = project / "uv.lock"
    listed = tomllib.loads(lock.read_text(encoding="utf-8"))["package"] if lock.exists() else []
    for each in listed:
        if each["name"] == OURS and each.get("version", __version__) != __version__:
            raise UnusableAppFolder(
                f"uv.lock pins Job Runners {each['version']}, but {__version__} is installed. Run "
                f"{shown_uv('sync')}"
            )


def with_ours(pins: str, target: Target) -> str:
    """Return the pins of the functions: the project's, and ours of the packages that it lacks."""
    theirs = {
        name
        for name, text in blocks(pins)
        if not (found := requirement_in(text))
        or found.marker is None
        # A lock is for all platforms. Another one's pin isn't installed, so ours is needed.
        or found.marker.evaluate(target.markers)
    }
    ours = blocks(OUR_LOCK.read_text(encoding="utf-8"))
    return "\n".join([pins.rstrip(), *(text for name, text in ours if name not in theirs), ""])


def blocks(pins: str) -> Iterator[tuple[str, str]]:
    """Yield the normalized name of each pinned package, and its lines."""
    for text in _texts(pins):
        if found := re.match(r"[A-Za-z0-9][\w.-]*", text):
            yield canonicalize_name(found[0]), text


def _texts(pins: str) -> list[str]:
    return re.split(r"\n(?=\S)", pins.strip())


def requirement_in(text: str) -> Requirement | None:
    """Return the requirement in the lines of a package, or None if they name none."""
    line = re.split(r"\\\n|\s--hash|\s#", text.strip())[0]
    try:
        return Requirement(line)
    except InvalidRequirement:  # an option, a path or an address
        return None


def explicit_indexes(project: Path) -> list[str]:
    """Return uv's options for the indexes that pyproject.toml uses for some packages only.

    uv reads its other settings by itself. Which index is asked first doesn't matter, because each
    file must match its hash.
    """
    listed = _pyproject(project).get("tool", {}).get("uv", {}).get("index", [])
    explicit = [each for each in listed if each.get("explicit")]
    options = [word for each in explicit for word in ("--index", _named_index(each))]
    return [*options, "--index-strategy", "unsafe-best-match"] if options else []


def _named_index(index: dict[str, Any]) -> str:
    return f"{index['name']}={index['url']}" if "name" in index else str(index["url"])


def _needs_packages(requirements: Path) -> bool:
    """Return whether a project names packages other than Job Runners itself."""
    if not requirements.exists():
        return False
    if requirements.name == "pyproject.toml":
        listed = _pyproject(requirements.parent).get("project", {}).get("dependencies", [])
    else:
        lines = requirements.read_text(encoding="utf-8").splitlines()
        listed = [line.strip() for line in lines if line.strip() and line.lstrip()[0] not in "#-"]
    named = map(requirement_in, listed)
    return any(each is None or canonicalize_name(each.name) != OURS for each in named)


def _pyproject(project: Path) -> dict[str, Any]:
    file = project / "pyproject.toml"
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UnusableAppFolder(f"{file} is not TOML: {error}") from None


def _exported(app: AppFolder) -> str:
    done = uv([*_EXPORT, *_FORMAT], app.path, installs=False)
    if done.returncode != 0:
        raise UnusableAppFolder(lock_problem(app.path, done.stderr))
    return done.stdout


def lock_problem(project: Path, output: str) -> str:
    """Return what uv's errors say about the lock of a project, and the command that mends it."""
    lock = project / "uv.lock"
    if "Unable to find lockfile" in output:
        return f"{lock} is missing. To create it, run {shown_uv('lock')}"
    if "needs to be updated" in output:
        return (
            f"{lock} is outdated: pyproject.toml has changed since it was made, or another package "
            f"index is set in a variable. To update it, run {shown_uv('lock')}"
        )
    return f"{lock} can't be used:\n{described(output, 'this machine')}"


def _of_pip(app: AppFolder) -> str:
    if not app.lock.exists():
        raise UnusableAppFolder(
            f"{app.lock} is missing, and {app.requirements.name} has no hashes. To pin the "
            f"packages with hashes, run {PIP_LOCK}"
        )
    pins = app.lock.read_text(encoding="utf-8")
    own = {text for name, text in blocks(pins) if name == OURS}
    return "\n".join(text for text in _texts(pins) if text not in own)


def main() -> int:
    """Install the project's packages, and return the exit code."""
    try:
        if not (pins := locked(find_app_folder())):
            return 0
        words = ["pip", "install", "--python", sys.executable, "--no-deps", "--require-hashes"]
        done = uv([*words, *explicit_indexes(ROOT), "--requirement", "-"], ROOT, text=pins)
        if done.returncode != 0:
            raise UnusableAppFolder(described(done.stderr, "this machine"))
    except JobRunnersError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
