"""Check the user's project, and run the modules that build, run and deploy it.

Each module runs in a process of its own, because importing it reads the project.
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
    """Raise Problem if a package of an extra isn't installed."""
    missing = [package for package in _EXTRAS[extra] if find_spec(package) is None]
    if missing:
        raise Problem(
            f"This command needs {', '.join(missing)}, which this environment doesn't have.",
            hint=f"Install Job Runners with its extra {extra}: "
            f"pip install 'job_runners-….whl[{extra}]'",
        )


def require_project() -> None:
    """Raise Problem unless this is the user's own project, and all packages are installed."""
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


def run_module(
    module: str, *arguments: str, capture: bool = False, project: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a module in a child process. With `capture`, return its output instead of showing it.

    `project` is the folder of the project that the module reads, by default the current project.
    """
    return subprocess.run(  # noqa: S603 - this interpreter
        _command(module, arguments),
        env=_environment(project),
        stdout=subprocess.PIPE if capture else None,
        stderr=subprocess.PIPE if capture else None,
        text=True,
        check=False,
    )


def run_or_exit(module: str, *arguments: str) -> None:
    """Run a module in a child process. If it fails, exit with its exit code."""
    process = run_module(module, *arguments)
    if process.returncode != 0:
        exit_command(process.returncode)


def exit_command(code: int) -> NoReturn:
    """Exit with this code. A SystemExit wouldn't do, because `main` ignores its code."""
    raise click.exceptions.Exit(code)


def replace_process(module: str, *arguments: str) -> NoReturn:
    """Run a module in place of this process, so that signals reach the module."""
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
