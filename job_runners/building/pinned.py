"""The requirement of Job Runners in a project's pyproject.toml, which pins its version."""

import hashlib
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from job_runners.building.app_config import UnusableAppFolder

_NAME = r"job[-_.]runners"
_STRING = re.compile(
    rf"""(?P<quote>["'])(?P<text>{_NAME}(?![\w-])(?:(?!(?P=quote)).)*)(?P=quote)""", re.IGNORECASE
)
_MARKER = re.compile(r"\s+;\s*|;\s+")
_PARTS = re.compile(rf"{_NAME}\s*(?P<extras>\[[^\]]*\])?\s*(?P<rest>.*)", re.IGNORECASE)
_VERSION = re.compile(r"\d+(\.\d+)*\w*(\.(dev|post)\d+)?")
_ADDRESS = re.compile(r"(https|file)://")
# Hatchling replaces this by the address of the project's folder, which differs between machines.
PROJECT = "{root:uri}/"


@dataclass(frozen=True)
class Pinned:
    """A pyproject.toml that requires Job Runners."""

    file: Path
    text: str
    requirement: str  # such as job-runners[app]==0.3.0

    @property
    def version(self) -> str | None:
        """The version, if the requirement names it instead of a file or an address."""
        rest = _parts(self.requirement)[1]
        return rest.removeprefix("==").strip() if rest.startswith("==") else None

    def on_this_machine(self, requirement: str) -> str:
        """Return the requirement with the address of this project's folder."""
        return requirement.replace(PROJECT, f"{self.file.parent.resolve().as_uri()}/")

    def replaced(self, requirement: str) -> str:
        """Return the text of the file with another requirement."""

        def new(found: re.Match[str]) -> str:
            _, *marker = _MARKER.split(found["text"], maxsplit=1)
            return found["quote"] + " ; ".join([requirement, *marker]) + found["quote"]

        return _STRING.sub(new, self.text)


def read_pinned(project: Path) -> Pinned:
    """Read the pyproject.toml of a project. Raises UnusableAppFolder."""
    file = project / "pyproject.toml"
    try:
        text = file.read_text(encoding="utf-8")
        tomllib.loads(text)
    except FileNotFoundError:
        raise UnusableAppFolder(f"{file} doesn't exist, so no version is pinned") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UnusableAppFolder(f"{file} is not TOML: {error}") from None
    found = _STRING.search(text)
    if found is None:
        raise UnusableAppFolder(
            f"{file} doesn't require job-runners. Add this line to [project], and repeat the "
            'command: dependencies = ["job-runners[app]"]'
        )
    return Pinned(file, text, _MARKER.split(found["text"])[0].strip())


def extras_of(requirement: str) -> str:
    """Return the extras of a requirement, such as [app]."""
    return _parts(requirement)[0]


def requirement_of(wanted: str, pinned: Pinned) -> str:
    """Return the requirement of a version, or of the wheel at a path or address.

    The requirement of a wheel in the project's folder is the same on every machine.

    Raises UnusableAppFolder if `wanted` is none of these.
    """
    name = f"job-runners{_parts(pinned.requirement)[0] or '[app]'}"
    if _ADDRESS.match(wanted):
        return f"{name} @ {wanted}"
    path = Path(wanted)
    if path.suffix == ".whl":
        if not path.is_file():
            raise UnusableAppFolder(f"{path.absolute()} doesn't exist")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        return f"{name} @ {_address(path.resolve(), pinned)}#sha256={digest}"
    if _VERSION.fullmatch(wanted):
        return f"{name}=={wanted}"
    raise UnusableAppFolder(
        f"{wanted} is neither a version, such as 0.3.0, nor the path or address of a wheel"
    )


def _address(wheel: Path, pinned: Pinned) -> str:
    project = pinned.file.parent.resolve()
    if "hatchling" in pinned.text and wheel.is_relative_to(project):
        return PROJECT + quote(wheel.relative_to(project).as_posix())
    return wheel.as_uri()


def _parts(requirement: str) -> tuple[str, str]:
    """Return the extras of a requirement, and the rest."""
    found = _PARTS.fullmatch(requirement)
    return (found["extras"] or "", found["rest"].strip()) if found else ("", requirement)
