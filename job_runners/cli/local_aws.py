"""The local AWS that `make run` starts, as those who use it know it."""

import os
from pathlib import Path

from job_runners.cli.stack import Stack

ROOT = Path(__file__).resolve().parents[2]
STACK_FILE = "stack.json"  # in the folder HOME
OUTDATED_FILE = "outdated.txt"  # there too: what is saved and not in force, on one line

REGION = "us-east-1"


def project(code: Path = ROOT) -> Path:
    """Return the folder whose samconfig.toml and local AWS are meant: this checkout. For a command
    that was installed, the nearest folder with a samconfig.toml, from the current one upward."""
    try:
        here = Path.cwd()
    except FileNotFoundError:  # it was removed
        return code
    for folder in (code, here, *here.parents):
        if (folder / "samconfig.toml").is_file():
            return folder
    return code


PROJECT = project()
HOME = PROJECT / ".local"  # there only while it is up


def find() -> Stack | None:
    """Return its stack, while it is up."""
    file = HOME / STACK_FILE
    try:
        # It says where calls go. One that another user or an archive has left here says nothing.
        if file.stat().st_uid != os.getuid() or file.stat().st_mode & 0o077:
            return None
        return Stack.load(file)
    except FileNotFoundError:
        return None


def endpoint_url() -> str | None:
    """Return where this terminal's AWS tools find AWS, if that is set, as .local/env.sh does."""
    return os.environ.get("AWS_ENDPOINT_URL")


def outdated() -> str | None:
    """Return what is saved and not in force there, on one line."""
    try:
        return (HOME / OUTDATED_FILE).read_text(encoding="utf-8").strip() or None
    except FileNotFoundError:
        return None
