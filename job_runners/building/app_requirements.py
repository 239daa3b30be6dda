"""Read the packages that the project's lock file pins, and add those that Job Runners needs."""

import argparse
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from job_runners import __version__
from job_runners.building.app_folder import (
    PIP_LOCK,
    AppFolder,
    UnusableAppFolder,
    exit_code,
    find_app_folder,
    uses_uv,
)
from job_runners.building.samconfig import Target
from job_runners.building.uv import uv, uv_command, with_advice
from job_runners.places import DATA, ROOT

OUR_LOCK = DATA / "requirements" / "runtime.txt"
OUR_PACKAGE = "job-runners"
_EXPORT = ("export", "--locked", "--no-default-groups", "--no-emit-project", "--prune", OUR_PACKAGE)
_FORMAT = ("--format", "requirements.txt", "--no-header", "--no-annotate")


def project_pins(app: AppFolder | None) -> str:
    """Return the project's pins in pip's format with hashes, or "" if it needs no packages.

    Raises UnusableAppFolder if the lock is missing or outdated, or if it has no hashes.
    """
    if app is None:
        return ""
    needs_packages = bool(_required(app.requirements))
    if uses_uv(app.path):
        return _read_uv_lock(app) if needs_packages else ""
    # A requirements.txt without packages may include another file that has some: -r base.txt.
    if needs_packages or app.lock.exists():
        return _read_pip_lock(app)
    return ""


def check_version(project: Path) -> None:
    """Raise UnusableAppFolder if uv.lock pins a version of Job Runners that isn't installed.

    A build would deploy the installed version.
    """
    lock = project / "uv.lock"
    if not lock.exists():
        return
    for package in tomllib.loads(lock.read_text(encoding="utf-8"))["package"]:
        if package["name"] == OUR_PACKAGE and package.get("version", __version__) != __version__:
            raise UnusableAppFolder(
                f"uv.lock pins Job Runners {package['version']}, but {__version__} is installed. "
                f"Run {uv_command('sync')}"
            )


def function_pins(pins: str, target: Target) -> str:
    """Return the project's pins, and our pins of the packages that the project doesn't pin."""
    project_names = {name for name, text in split_pins(pins) if _is_installed_on(target, text)}
    our_pins = split_pins(OUR_LOCK.read_text(encoding="utf-8"))
    additions = [text for name, text in our_pins if name not in project_names]
    return "\n".join([pins.rstrip(), *additions, ""])


def _is_installed_on(target: Target, text: str) -> bool:
    """Return whether the target installs this pin. A lock also has pins for other platforms."""
    requirement = parse_requirement(text)
    if requirement is None or requirement.marker is None:
        return True
    return requirement.marker.evaluate(target.markers)


def split_pins(pins: str) -> Iterator[tuple[str, str]]:
    """Yield the normalized name of each pinned package, and its lines."""
    for text in _split(pins):
        if name := re.match(r"[A-Za-z0-9][\w.-]*", text):
            yield canonicalize_name(name[0]), text


def _split(pins: str) -> list[str]:
    return re.split(r"\n(?=\S)", pins.strip())  # each package begins at an unindented line


def parse_requirement(text: str) -> Requirement | None:
    """Return the requirement in a package's lines, or None if they name no package."""
    line = re.split(r"\\\n|\s--hash|\s#", text.strip())[0]
    try:
        return Requirement(line)
    except InvalidRequirement:  # an option, a path or an address
        return None


def explicit_index_options(project: Path) -> list[str]:
    """Return uv's options for the indexes that pyproject.toml uses for some packages only.

    uv itself reads the other indexes. The order of the indexes doesn't matter, because each file
    must match its hash.
    """
    indexes = _pyproject(project).get("tool", {}).get("uv", {}).get("index", [])
    options: list[str] = []
    for index in indexes:
        if index.get("explicit"):
            url = str(index["url"])
            options += ["--index", f"{index['name']}={url}" if "name" in index else url]
    return [*options, "--index-strategy", "unsafe-best-match"] if options else []


def _required(requirements: Path) -> list[Requirement | None]:
    """Return the packages that a project names, without Job Runners itself.

    None stands for a line that can't be read, such as a path.
    """
    if not requirements.exists():
        return []
    if requirements.name == "pyproject.toml":
        texts = _pyproject(requirements.parent).get("project", {}).get("dependencies", [])
    else:
        lines = map(str.strip, requirements.read_text(encoding="utf-8").splitlines())
        texts = [line for line in lines if line and not line.startswith(("#", "-"))]
    required = map(parse_requirement, texts)
    return [each for each in required if each is None or _name(each) != OUR_PACKAGE]


def _name(requirement: Requirement) -> str:
    return canonicalize_name(requirement.name)


def _pyproject(project: Path) -> dict[str, Any]:
    file = project / "pyproject.toml"
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UnusableAppFolder(f"{file} is not TOML: {error}") from None


def _read_uv_lock(app: AppFolder) -> str:
    process = uv([*_EXPORT, *_FORMAT], app.path, installs=False)
    if process.returncode != 0:
        raise UnusableAppFolder(lock_problem(app.path, process.stderr))
    return process.stdout


def lock_problem(project: Path, output: str) -> str:
    """Explain uv's error output about a project's lock, and name the command that fixes it."""
    lock = project / "uv.lock"
    if "Unable to find lockfile" in output:
        return f"{lock} is missing. To create it, run {uv_command('lock')}"
    if "needs to be updated" in output:
        return (
            f"{lock} is outdated: pyproject.toml has changed since it was made, or another package "
            f"index is set in a variable. To update it, run {uv_command('lock')}"
        )
    return f"{lock} can't be used:\n{with_advice(output, platform='this machine')}"


def _read_pip_lock(app: AppFolder) -> str:
    if not app.lock.exists():
        raise UnusableAppFolder(
            f"{app.lock} is missing, and {app.requirements.name} has no hashes. To pin the "
            f"packages with hashes, run {PIP_LOCK}"
        )
    pins = app.lock.read_text(encoding="utf-8")
    named_pins = list(split_pins(pins))
    _check_pip_lock(app, named_pins)
    our_pins = {text for name, text in named_pins if name == OUR_PACKAGE}
    return "\n".join(text for text in _split(pins) if text not in our_pins)


def _check_pip_lock(app: AppFolder, pins: list[tuple[str, str]]) -> None:
    """Raise UnusableAppFolder if the lock pins another version than requirements.txt allows.

    Raise it too if the lock misses a package, or has one only for a line that was removed. It may
    leave out a package that has a marker, because of the machine that wrote it.
    """
    all_required = _required(app.requirements)
    known = [required for required in all_required if required]
    names = {OUR_PACKAGE, *map(_name, known)}
    for name, text in pins:
        # uv and pip-compile write why each package is in the lock.
        is_named = f"-r {app.requirements.name}\n" in f"{text}\n"
        if is_named and name not in names and len(known) == len(all_required):
            raise UnusableAppFolder(
                f"{app.lock} is outdated: it pins {name}, which {app.requirements.name} doesn't "
                f"name anymore. To update it, run {PIP_LOCK}"
            )
    pinned = [pin for _, text in pins if (pin := parse_requirement(text))]
    for required in known:
        if required.marker is not None and not required.marker.evaluate():
            continue
        found = [pin for pin in pinned if _name(pin) == _name(required)]
        versions = [specifier.version for pin in found for specifier in pin.specifier]
        is_missing = not found and required.marker is None
        # A package may have a version for each Python or system.
        if is_missing or (
            versions and not any(required.specifier.contains(each, True) for each in versions)
        ):
            locked = ", ".join(map(str, found)) or "no such package"
            # Without its address, which may have a password.
            raise UnusableAppFolder(
                f"{app.lock} is outdated: {app.requirements.name} names {required.name}"
                f"{required.specifier}, and the lock has {locked}. To update it, run {PIP_LOCK}"
            )


def main() -> int:
    """Install the project's packages, or print what a function gets: for the Makefile."""
    parser = argparse.ArgumentParser(prog="python -m job_runners.building.app_requirements")
    parser.add_argument("--print", action="store_true", help="print the pins that a function gets")
    pins = project_pins(find_app_folder())
    if parser.parse_args().print:
        target = Target.this_machine()
        for _, text in split_pins(function_pins(pins, target)):
            if _is_installed_on(target, text):
                print(text)
    elif pins:
        words = ["pip", "install", "--python", sys.executable, "--no-deps", "--require-hashes"]
        options = [*explicit_index_options(ROOT), "--requirement", "-"]
        process = uv([*words, *options], ROOT, stdin=pins)
        if process.returncode != 0:
            raise UnusableAppFolder(with_advice(process.stderr, platform="this machine"))
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
