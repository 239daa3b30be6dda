"""Pin Job Runners and the packages of its tools: python -m job_runners.building.tool_requirements

It writes tools.lock, with versions and hashes, in the project's folder. The workflow that deploys
installs only these packages, because all of them run with the right to assume its role.
"""

import subprocess
import sys
from urllib.parse import unquote, urldefrag

from job_runners.building.app_config import UnusableAppFolder
from job_runners.building.install_problems import described
from job_runners.building.pinned import PROJECT, Pinned, extras_of, read_pinned
from job_runners.building.target import this_python
from job_runners.places import COMMAND, ROOT

LOCK = ROOT / "tools.lock"
_OPTIONS = ("--universal", "--generate-hashes", "--only-binary", ":all:", "--no-header")
_FIRST_LINE = f"# Made from pyproject.toml by {COMMAND} lock --tools\n"


def lock_tools() -> None:
    """Write the lock. Raises UnusableAppFolder."""
    pinned = read_pinned(ROOT)
    command = [sys.executable, "-m", "uv", "pip", "compile", "-", *_OPTIONS, "--no-annotate"]
    command += ["--no-emit-index-url", "--no-emit-find-links", "--python-version", this_python()]
    # Run uv in the project's folder, so that the path of a wheel there stays relative.
    done = subprocess.run(
        command, cwd=ROOT, input=_input(pinned), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise UnusableAppFolder(
            f"{pinned.requirement} can't be resolved, so {LOCK.name} was not written:\n"
            f"{described(done.stderr, 'this machine')}"
        )
    LOCK.write_text(_FIRST_LINE + done.stdout, encoding="utf-8")


def _input(pinned: Pinned) -> str:
    """Return the requirement in a form that means the same on every machine."""
    _, _, address = pinned.requirement.partition("@ ")
    path = urldefrag(address).url.strip()
    if path.startswith(PROJECT):
        return f"./{unquote(path.removeprefix(PROJECT))}{extras_of(pinned.requirement)}\n"
    if path.startswith("file:"):
        raise UnusableAppFolder(
            f"pyproject.toml pins Job Runners from {path}, which other machines don't have. Copy "
            f"the wheel to {ROOT / 'wheels'}, then run {COMMAND} upgrade wheels/NAME.whl"
        )
    return f"{pinned.requirement}\n"


def main() -> int:
    """Write the lock, and return the exit code."""
    try:
        lock_tools()
    except UnusableAppFolder as error:
        print(error, file=sys.stderr)
        return 1
    print(f"Wrote {LOCK}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
