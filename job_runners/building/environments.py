"""The virtual environment of sam and ministack, whose package versions differ from a project's.

In a checkout of Job Runners it is .venv-aws, which make creates. If Job Runners is installed
instead, all of a user's projects share one in the user's cache. Its name has a hash of the pinned
requirements and of the interpreter.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from job_runners.errors import JobRunnersError
from job_runners.places import CACHE, DATA, IS_CHECKOUT, ROOT

_REQUIREMENTS = DATA / "requirements" / "aws.txt"
_MADE = "made"  # a file that is written last


class ToolsNotInstalled(JobRunnersError):
    """sam and ministack could not be installed."""


def tools_folder() -> Path:
    """Return the folder of the environment's programs, which may not exist yet."""
    if IS_CHECKOUT:
        return ROOT / ".venv-aws" / "bin"
    recipe = hashlib.sha256(_REQUIREMENTS.read_bytes())
    recipe.update(f"{sys.base_prefix} {sys.version}".encode())
    return CACHE / f"aws-{recipe.hexdigest()[:16]}" / "bin"


def make_tools() -> None:
    """Create the environment unless it exists. Raises ToolsNotInstalled."""
    folder = tools_folder().parent
    if IS_CHECKOUT or (folder / _MADE).exists():
        return
    CACHE.mkdir(parents=True, exist_ok=True)
    lock = os.open(CACHE, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another project may be creating it
        if not (folder / _MADE).exists():
            _make(folder)
    finally:
        os.close(lock)


def _make(folder: Path) -> None:
    print("Installing sam and the local AWS (a minute, once)", file=sys.stderr, flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=False, symlinks=True)
    command = [sys.executable, "-m", "uv", "pip", "install", "--no-deps", "--require-hashes"]
    command += ["--python", str(folder / "bin" / "python"), "--requirement", str(_REQUIREMENTS)]
    if subprocess.run(command, check=False).returncode != 0:
        raise ToolsNotInstalled(
            "sam and the local AWS can't be installed. The output above says why. Without a "
            "network, connect once: later runs work offline."
        )
    (folder / _MADE).touch()
