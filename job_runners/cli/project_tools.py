"""Check the user's project, and start the modules that build, run and deploy it.

Each module runs in a process of its own, because it reads the project when it is imported.
"""

import os
import subprocess
import sys
from importlib.util import find_spec
from typing import NoReturn

import click

from job_runners.cli.problem import Problem
from job_runners.places import (
    PROJECT_VARIABLE,
    ROOT,
    foreign_owner,
    variables,
)

_EXTRAS = {
    "app": ("boto3", "moto", "pydantic", "pynamodb", "pytest", "uv", "yaml"),
    "engine": ("pydantic", "pynamodb"),
}


def require_extra(extra: str) -> None:
    """Raise Problem if packages of an extra are missing."""
    missing = [package for package in _EXTRAS[extra] if find_spec(package) is None]
    if missing:
        raise Problem(
            f"This command needs {', '.join(missing)}, which this environment doesn't have.",
            hint=f"Install Job Runners with its extra {extra}: "
            f"pip install 'job_runners-….whl[{extra}]'",
        )


def require_project() -> None:
    """Raise Problem outside a project, in a project that belongs to another user, or
    if packages are missing."""
    if not (ROOT / "samconfig.toml").is_file():
        if os.environ.get(PROJECT_VARIABLE):
            raise Problem(
                f"{PROJECT_VARIABLE} names {ROOT}, which has no samconfig.toml.",
                hint="Name a project's folder, or create a project with job-runners init NAME.",
            )
        raise Problem(
            f"{ROOT} is not in a project: neither it nor a folder above it has a samconfig.toml.",
            hint="Change to your project's folder, or create a project with job-runners init NAME.",
        )
    owner = foreign_owner(ROOT)
    if owner is not None:
        raise Problem(
            f"The project {ROOT} belongs to another user (uid {owner}), so none of its code runs.",
            hint=f"If you trust that user, name the project: {PROJECT_VARIABLE}={ROOT}.",
        )
    require_extra("app")


def call(
    module: str, *arguments: str, capture: bool = False, project: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a module to its end. With `capture`, return its output instead of showing it.

    The module works on the project in the folder `project`, or by default on the current one.
    """
    return subprocess.run(  # noqa: S603 - this interpreter
        _command(module, arguments),
        env=_environment(project),
        stdout=subprocess.PIPE if capture else None,
        stderr=subprocess.PIPE if capture else None,
        text=True,
        check=False,
    )


def run(module: str, *arguments: str) -> None:
    """Run a module to its end. If it fails, end the command with its exit code."""
    process = call(module, *arguments)
    if process.returncode != 0:
        exit_command(process.returncode)


def exit_command(code: int) -> NoReturn:
    """End the command with this exit code. `main` would turn a SystemExit into 0."""
    raise click.exceptions.Exit(code)


def replace_process(module: str, *arguments: str) -> NoReturn:
    """Replace this process by one that runs a module, so that signals reach the module."""
    sys.stdout.flush()
    command = _command(module, arguments)
    os.execve(command[0], command, _environment())  # noqa: S606 - this interpreter


def _command(module: str, arguments: tuple[str, ...]) -> list[str]:
    return [sys.executable, "-P", "-m", module, *arguments]


def _environment(project: str | None = None) -> dict[str, str]:
    environment = {**os.environ, **variables()}
    if project:
        environment[PROJECT_VARIABLE] = project
    return environment
