"""Create a virtual environment for sam, which needs other package versions than a project.

In a checkout of Job Runners, the environment is .venv-aws, which make creates. Otherwise, all of a
user's projects share one in the user's cache. Its name has a hash of the pinned requirements and of
the interpreter.
"""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from job_runners.building.uv import environment
from job_runners.errors import JobRunnersError
from job_runners.places import CACHE, DATA, TOOLS

_REQUIREMENTS = DATA / "requirements" / "aws.txt"
_FINISHED_MARKER = "made"  # an empty file that is created last


class ToolsNotInstalled(JobRunnersError):
    """sam could not be installed, or make is missing."""


def tools_folder() -> Path:
    """Return the folder of the environment's programs, which may not exist yet."""
    if TOOLS:
        return TOOLS / "bin"
    digest = hashlib.sha256(_REQUIREMENTS.read_bytes())
    digest.update(f"{sys.base_prefix} {sys.version}".encode())
    return CACHE / f"aws-{digest.hexdigest()[:16]}" / "bin"


def make_tools() -> None:
    """Create the environment unless it exists. Raises ToolsNotInstalled."""
    if TOOLS:
        return
    if shutil.which("make") is None:
        raise ToolsNotInstalled(
            "sam builds the functions with make, which is not installed. Install it with your "
            "system's packages, such as apt install make, or on macOS with xcode-select --install."
        )
    folder = tools_folder().parent
    if (folder / _FINISHED_MARKER).exists():
        return
    print("Installing sam (a minute, once)", file=sys.stderr, flush=True)
    # Two projects may do this at the same time: uv's lock lets one wait for the other.
    create = ["venv", "--no-project", "--allow-existing", "--python", sys.executable, str(folder)]
    install = ["pip", "install", "--no-deps", "--require-hashes", "--python", str(folder)]
    install += ["--requirement", str(_REQUIREMENTS)]
    for arguments in (create, install):
        command = [sys.executable, "-m", "uv", "--quiet", *arguments]
        if subprocess.run(command, env=environment(), check=False).returncode != 0:
            raise ToolsNotInstalled(
                "sam can't be installed. The output above says why. Without a network, connect "
                "once: later builds work offline."
            )
    (folder / _FINISHED_MARKER).touch()
