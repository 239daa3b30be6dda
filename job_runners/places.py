"""Where files are, in a checkout and in a project that has Job Runners installed."""

import os
from pathlib import Path

from job_runners.settings import PROJECT_VARIABLE as PROJECT_VARIABLE
from job_runners.settings import project_folder

# The folder above the package `job_runners`: a checkout, or the site-packages of an environment.
CODE = Path(__file__).resolve().parent.parent
_PROJECT_FILE = "samconfig.toml"

_INSTALLED_DATA = CODE / "job_runners" / "data"  # only a wheel has this folder

# The package's files other than code: template.yaml, two of events/, and requirements/ with the
# locks.
IS_INSTALLED = _INSTALLED_DATA.is_dir()
IS_CHECKOUT = not IS_INSTALLED
DATA = _INSTALLED_DATA if IS_INSTALLED else CODE


def find_project() -> Path | None:
    """Return the folder that the variable JOBS_PROJECT names.

    Without the variable, it is the nearest folder with a samconfig.toml, from the current folder
    upward. In a checkout, the Makefile and bin/job-runners set the variable. Return None if it is
    empty, or if there is no such folder.
    """
    if IS_CHECKOUT or PROJECT_VARIABLE in os.environ:
        return project_folder()
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
    if IS_CHECKOUT or os.environ.get(PROJECT_VARIABLE) or not hasattr(os, "geteuid"):
        return None
    own = {os.geteuid()}
    sudo = os.environ.get("SUDO_UID", "")
    if own == {0} and sudo.isdecimal():
        own.add(int(sudo))
    file = project / _PROJECT_FILE
    # The file may be another user's link to one of our own.
    owners = [each.st_uid for each in (project.stat(), file.stat(), file.lstat())]
    return next((each for each in owners if each not in own), None)


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "job-runners"


PROJECT = find_project()
# ROOT is the project. Without one, it is the checkout, or the current folder.
# LOCAL_AWS_PARENT contains .local/ while a local AWS is up.
# CACHE is for files that can be made again. In a checkout, `make clean` removes it.
# TOOLS is the environment of sam that make creates in a checkout.
TOOLS: Path | None = None
if IS_CHECKOUT:
    ROOT = PROJECT or CODE
    LOCAL_AWS_PARENT, TOOLS = CODE, CODE / ".venv-aws"
    CACHE = BUILD_CACHE = CODE / ".build"
else:
    ROOT = LOCAL_AWS_PARENT = PROJECT or Path(os.path.realpath("."))
    CACHE = _cache()
    BUILD_CACHE = CACHE / "build"


def variables() -> dict[str, str]:
    """Return the variables that make another process of this package act on the same project."""
    python_path = {"PYTHONPATH": str(CODE)} if IS_CHECKOUT else {}
    return {PROJECT_VARIABLE: str(find_project() or ""), **python_path}


# How a person calls the command. job_runners/cli/app.py puts it into the texts of the command.
COMMAND = "bin/job-runners" if IS_CHECKOUT else "job-runners"
BUILD_COMMAND = "make build" if IS_CHECKOUT else "job-runners build"


def relative_path(path: Path) -> str:
    """Return a path below the current folder as a relative path, and any other path unchanged."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
