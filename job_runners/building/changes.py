"""Find the changes that need a person's attention, in the CHANGELOG of the installed version."""

import re

from job_runners import __version__
from job_runners.places import DATA

_HEADING = re.compile(r"^## (\S+)", re.MULTILINE)
# An entry that needs attention starts with bold text.
_ENTRY = re.compile(r"^- (\*\*.+?)(?=^- |^#|\n\n|\Z)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[([^\]]+)\]\([^)]+\)")


def changes_since(version: str) -> list[tuple[str, str]]:
    """Return the changes after this version that need attention, each with its version."""
    text = (DATA / "CHANGELOG.md").read_text(encoding="utf-8")
    parts = _HEADING.split(text)
    found = []
    for heading, section in zip(parts[1::2], parts[2::2], strict=True):
        if is_newer(heading, version):
            found += [(heading, _plain(entry)) for entry in _ENTRY.findall(section)]
    return found


def is_newer(version: str, other: str = __version__) -> bool:
    """Return whether a version is newer than another one. Text such as rc1 doesn't count."""
    return _numbers(version) > _numbers(other)


def _numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"(?:^|\.)(\d+)", version)]


def _plain(entry: str) -> str:
    return _LINK.sub(r"\1", " ".join(entry.split())).replace("**", "")
