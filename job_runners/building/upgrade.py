"""Change the project's version of Job Runners: python -m job_runners.building.upgrade [WANTED]

WANTED is a version, or the path or address of a wheel. The first steps run in the version that is
installed before. Then job_runners.building.upgraded of the new version takes the others.
"""

import json
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from tomllib import loads

from job_runners import __version__
from job_runners.building.app_config import UnusableAppFolder
from job_runners.building.install_problems import described
from job_runners.building.installed import difference
from job_runners.building.pinned import Pinned, read_pinned, requirement_of
from job_runners.places import COMMAND, IS_CHECKOUT, ROOT

_UV = (sys.executable, "-m", "uv", "pip")


def upgrade(wanted: str | None) -> int:
    """Pin and install a version, then run its own part of the upgrade. Return the exit code.

    Raises UnusableAppFolder, and then changes nothing.
    """
    if IS_CHECKOUT:
        raise UnusableAppFolder("This is a checkout of Job Runners. Upgrade it with git")
    pinned = read_pinned(ROOT)
    requirement = requirement_of(wanted, pinned) if wanted else newest_requirement(pinned)
    if pinned.requirement != requirement or difference():
        _install(pinned, requirement)
    command = [sys.executable, "-P", "-m", "job_runners.building.upgraded"]
    command += ["--from-version", __version__]
    if pinned.requirement != requirement:
        command += ["--from-pin", pinned.requirement]
    return subprocess.run(command, check=False).returncode


def newest_requirement(pinned: Pinned) -> str:
    """Return the newest version in the package index, or the pinned wheel if it is a wheel."""
    if pinned.version is None:
        return pinned.requirement
    command = [*_UV, "compile", "--quiet", "--no-deps", "--no-header", "--no-annotate", "-"]
    done = subprocess.run(
        command, input="job-runners\n", capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise UnusableAppFolder(
            f"The newest version can't be found. You can also pass a version:\n"
            f"{described(done.stderr, 'this machine')}"
        )
    return requirement_of(done.stdout.strip().rpartition("==")[2], pinned)


def _install(pinned: Pinned, requirement: str) -> None:
    """Write the requirement to pyproject.toml, and install it. Undo the change if this fails."""
    print(f"Installing {requirement}", file=sys.stderr, flush=True)
    pinned.file.write_text(pinned.replaced(requirement), encoding="utf-8")
    command = [*_UV, "install", "--quiet", "--python", sys.executable]
    command += ["--reinstall-package", "job-runners", *_installable(pinned, requirement)]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    except BaseException:
        pinned.file.write_text(pinned.text, encoding="utf-8")
        raise
    if done.returncode != 0:
        pinned.file.write_text(pinned.text, encoding="utf-8")
        raise UnusableAppFolder(
            f"{requirement} can't be installed, so nothing has changed:\n"
            f"{described(done.stderr, 'this machine')}{_advice(requirement)}"
        )


def _advice(requirement: str) -> str:
    return "" if "@" in requirement else "\nTo install a wheel, pass its path."


def _installable(pinned: Pinned, requirement: str) -> list[str]:
    """Return uv's arguments: the project if it is installed here in editable mode."""
    name = loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"]
    try:
        text = distribution(name).read_text("direct_url.json")
    except PackageNotFoundError:
        return [pinned.on_this_machine(requirement)]
    origin = json.loads(text) if text else {}
    is_here = Path(ROOT).as_uri() == origin.get("url")
    if is_here and "dir_info" in origin:
        return ["--editable", str(ROOT)]
    return [pinned.on_this_machine(requirement)]


def main() -> int:
    """Upgrade, and return the exit code."""
    wanted = sys.argv[1] if len(sys.argv) > 1 else None
    try:
        return upgrade(wanted)
    except UnusableAppFolder as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"Stopped. To continue, run {COMMAND} upgrade again.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
