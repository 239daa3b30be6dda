"""The virtual environment of sam, whose package versions differ from a project's.

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
import time
import venv
from pathlib import Path

from job_runners.building.uv import environment
from job_runners.errors import JobRunnersError
from job_runners.places import CACHE, DATA, TOOLS

_REQUIREMENTS = DATA / "requirements" / "aws.txt"
_MADE = "made"  # a file that is written last
_PATIENCE = 20  # seconds between two lines that say that packages still download


class ToolsNotInstalled(JobRunnersError):
    """sam could not be installed, or make is missing."""


def tools_folder() -> Path:
    """Return the folder of the environment's programs, which may not exist yet."""
    if TOOLS:
        return TOOLS / "bin"
    recipe = hashlib.sha256(_REQUIREMENTS.read_bytes())
    recipe.update(f"{sys.base_prefix} {sys.version}".encode())
    return CACHE / f"aws-{recipe.hexdigest()[:16]}" / "bin"


def make_tools() -> None:
    """Create the environment unless it exists. Raises ToolsNotInstalled."""
    folder = tools_folder().parent
    if TOOLS:
        return
    if shutil.which("make") is None:
        raise ToolsNotInstalled(
            "sam builds the functions with make, which is not installed. Install it with your "
            "system's packages, such as apt install make, or on macOS with xcode-select --install."
        )
    if (folder / _MADE).exists():
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
    print("Installing sam (a minute, once)", file=sys.stderr, flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=False, symlinks=True)
    command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--no-deps"]
    command += ["--require-hashes", "--python", str(folder / "bin" / "python")]
    command += ["--requirement", str(_REQUIREMENTS)]
    if _run_visibly(command) != 0:
        raise ToolsNotInstalled(
            "sam can't be installed. The output above says why. Without a network, connect once: "
            "later builds work offline."
        )
    (folder / _MADE).touch()


def _run_visibly(command: list[str]) -> int:
    """Run a command that prints nothing, and show that it still runs. Return its exit code."""
    began = time.monotonic()
    with subprocess.Popen(command, env=environment()) as process:
        while True:
            try:
                return process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                seconds = time.monotonic() - began
                print(f"  still downloading ({seconds:.0f} s)", file=sys.stderr, flush=True)
