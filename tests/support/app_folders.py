"""An organisation's folder, written for a test."""

import re
from pathlib import Path

from job_runners.building.app_folder import AppFolder, read_app_folder
from job_runners.places import CODE

TABLE = """\
from job_runners.work import Job

JOBS = {
    "read_list": Job("acme.lists:read_list"),
}
"""
LISTS = '''\
from iniconfig import IniConfig
from pydantic import BaseModel

from job_runners.work import RunningJob


class ReadList(BaseModel):
    text: str


def read_list(job: RunningJob, payload: ReadList) -> list[str]:
    """Read the names of a list's sections."""
    return [section.name for section in IniConfig("list", payload.text)]
'''


def pinned(name: str) -> str:
    """Return how our own lock pins a package, with its hashes."""
    text = (CODE / "requirements" / "dev.txt").read_text()
    (found,) = re.findall(rf"^{name}==.*\n(?: +--hash.*\n)+", text, re.MULTILINE)
    return str(found)


REQUIREMENTS = pinned("iniconfig")  # of pure Python, and here already, for pytest


def write_app(folder: Path, files: dict[str, str] | None = None) -> AppFolder:
    """Write the package acme, and files beside or instead of its own; return the folder."""
    given = {"acme/__init__.py": TABLE, "acme/lists.py": LISTS, **(files or {})}
    for name, text in given.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return read_app_folder(folder)
