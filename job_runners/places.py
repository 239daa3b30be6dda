"""The folders of this package, of the user's project and of caches.

They depend on whether Job Runners is installed, or runs from a checkout of its repository.
"""

import os
from pathlib import Path

from job_runners.settings import PROJECT_VARIABLE as PROJECT_VARIABLE
from job_runners.settings import project_folder

# The folder that contains the package `job_runners`: a checkout, or site-packages.
CODE = Path(__file__).resolve().parent.parent
_PROJECT_FILE = "samconfig.toml"
_INSTALLED_DATA = CODE / "job_runners" / "data"  # only a wheel has this folder

IS_CHECKOUT = not _INSTALLED_DATA.is_dir()
# If this file changes, the installed package was upgraded.
UPGRADED_FILE = None if IS_CHECKOUT else CODE / "job_runners" / "__init__.py"
# The package's other files: template.yaml, sample events, and the lock files in requirements/.
DATA = CODE if IS_CHECKOUT else _INSTALLED_DATA


def find_project() -> Path | None:
    """Return the folder of the project, or None if there is none.

    The environment variable JOBS_PROJECT names the folder. If the variable is empty, there is no
    project. In a checkout, the Makefile and bin/job-runners set the variable. Elsewhere, if it
    isn't set, the project is the nearest folder with a samconfig.toml, starting at the current
    folder and going up.
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
    """Return the id of the user who owns the project, or None for a trusted owner.

    Commands run a project's code. `find_project` could find a project that another user has placed
    in a shared folder such as /tmp. A project that JOBS_PROJECT names is trusted. As in git, root
    also trusts the user who called sudo.
    """
    if IS_CHECKOUT or os.environ.get(PROJECT_VARIABLE) or not hasattr(os, "geteuid"):
        return None
    trusted = {os.geteuid()}
    sudo_user = os.environ.get("SUDO_UID", "")
    if trusted == {0} and sudo_user.isdecimal():
        trusted.add(int(sudo_user))
    file = project / _PROJECT_FILE
    # `lstat` checks the link itself, because another user can make a link to a file of this user.
    owners = [status.st_uid for status in (project.stat(), file.stat(), file.lstat())]
    return next((owner for owner in owners if owner not in trusted), None)


def _user_cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "job-runners"


PROJECT = find_project()
# ROOT: the project; without one, the checkout or the current folder.
# LOCAL_AWS_PARENT: the folder that contains .local/ while a local AWS is up.
# CACHE, BUILD_CACHE: files that can be made again; in a checkout, `make clean` removes them.
# TOOLS: the virtual environment with sam, which make creates in a checkout.
TOOLS: Path | None = None
if IS_CHECKOUT:
    ROOT = PROJECT or CODE
    LOCAL_AWS_PARENT, TOOLS = CODE, CODE / ".venv-aws"
    CACHE = BUILD_CACHE = CODE / ".build"
else:
    ROOT = LOCAL_AWS_PARENT = PROJECT or Path(os.path.realpath("."))
    CACHE = _user_cache()
    BUILD_CACHE = CACHE / "build"


def variables() -> dict[str, str]:
    """Return the environment variables that make another process use the same project."""
    python_path = {"PYTHONPATH": str(CODE)} if IS_CHECKOUT else {}
    return {PROJECT_VARIABLE: str(find_project() or ""), **python_path}


# How users call the command; job_runners/cli/app.py puts this into its help and messages.
COMMAND = "bin/job-runners" if IS_CHECKOUT else "job-runners"
BUILD_COMMAND = "make build" if IS_CHECKOUT else "job-runners build"


def relative_path(path: Path) -> str:
    """Return a path below the current folder as a relative path, and any other path unchanged."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
