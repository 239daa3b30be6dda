"""Where files are, in a checkout and in a project that has Job Runners installed."""

import os
import sys
from pathlib import Path

# The folder above the package `job_runners`: a checkout, or the site-packages of an environment.
CODE = Path(__file__).resolve().parent.parent
_PROJECT_FILE = "samconfig.toml"
# The project of a process that a command started. It overrides the current folder.
PROJECT_VARIABLE = "JOBS_PROJECT"

_INSTALLED_DATA = CODE / "job_runners" / "data"  # only a wheel has this folder

# The package's files other than code: template.yaml, events/, and requirements/ with the locks.
IS_INSTALLED = _INSTALLED_DATA.is_dir()
DATA = _INSTALLED_DATA if IS_INSTALLED else CODE
# Whether commands act on this checkout. Otherwise they act on a project.
IS_CHECKOUT = DATA is CODE and not os.environ.get(PROJECT_VARIABLE)


def find_project() -> Path | None:
    """Return the nearest folder with a samconfig.toml, from the current folder upward, or None."""
    named = os.environ.get(PROJECT_VARIABLE)
    if named:
        return Path(named).resolve()
    try:
        here = Path.cwd()
    except FileNotFoundError:  # the current folder was removed
        return None
    for folder in (here, *here.parents):
        if (folder / _PROJECT_FILE).is_file():
            return folder
    return None


def foreign_owner(project: Path) -> int | None:
    """Return the id of another user who owns a project that was found from the current folder
    upward, or None.

    Commands run a project's code. So in a shared folder such as /tmp, another user could make them
    run theirs. As in git, root may also use the projects of the user who called sudo.
    """
    if os.environ.get(PROJECT_VARIABLE) or not hasattr(os, "geteuid"):
        return None
    own = {os.geteuid()}
    sudo = os.environ.get("SUDO_UID", "")
    if own == {0} and sudo.isdecimal():
        own.add(int(sudo))
    owners = [each.stat().st_uid for each in (project, project / _PROJECT_FILE)]
    return next((each for each in owners if each not in own), None)


# The checkout or the project. Without a project, it is the current folder.
ROOT = CODE if IS_CHECKOUT else find_project() or Path(os.path.realpath("."))


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "job-runners"


# The folder for files that can be made again. In a checkout, `make clean` removes it.
CACHE = ROOT / ".build" if IS_CHECKOUT else _cache()
BUILD_CACHE = CACHE if IS_CHECKOUT else CACHE / "build"

# The name of the command, in a project and here. Shells have a command `jobs` of their own, so an
# installed `jobs` works only after `job-runners shell`. Messages repeat the name that was typed.
COMMAND_VARIABLE = "JOBS_COMMAND"
_called = Path(sys.argv[0]).name if sys.argv else ""
PROJECT_COMMAND = os.environ.get(COMMAND_VARIABLE) or (
    _called if _called == "jobs" else "job-runners"
)
COMMAND = "jobs" if IS_CHECKOUT else PROJECT_COMMAND

# For each command in a checkout, the arguments of COMMAND that do the same in a project.
_PROJECT_COMMANDS = {
    "make run": "run",
    "make run DEMO=0": "run",
    "make run KEEP=1": "run --keep",
    "make test-app": "test",
    "make build": "build",
    "make deploy": "deploy",
    "make lock": "lock",
    "bin/jobs": "",
}


def as_typed(command: str) -> str:
    """Return the command that applies here, given the one that applies in a checkout."""
    return command if IS_CHECKOUT else f"{COMMAND} {_PROJECT_COMMANDS[command]}".strip()
