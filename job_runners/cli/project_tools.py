"""Check the project, and start the modules that build, run and deploy it.

These modules run in processes of their own, because they read the project when they are imported.
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
    missing = [each for each in _EXTRAS[extra] if find_spec(each) is None]
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
    if (owner := foreign_owner(ROOT)) is not None:
        raise Problem(
            f"The project {ROOT} belongs to another user (uid {owner}), so none of its code runs.",
            hint=f"If you trust that user, name the project: {PROJECT_VARIABLE}={ROOT}.",
        )
    require_extra("app")


def call(
    module: str, *words: str, capture: bool = False, project: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a module to its end. `capture` returns its output instead of showing it.

    The module acts on the folder `project`, or by default on the current project.
    """
    return subprocess.run(  # noqa: S603 - this interpreter
        _command(module, words),
        env=_environment(project),
        stdout=subprocess.PIPE if capture else None,
        stderr=subprocess.PIPE if capture else None,
        text=True,
        check=False,
    )


def run(module: str, *words: str) -> None:
    """Run a module to its end. If it fails, end the command with its exit code."""
    done = call(module, *words)
    if done.returncode != 0:
        end(done.returncode)


def end(code: int) -> NoReturn:
    """End the command with this exit code. SystemExit would end it with 0."""
    raise click.exceptions.Exit(code)


def become(module: str, *words: str) -> NoReturn:
    """Run a module instead of this command, so that signals reach it."""
    sys.stdout.flush()
    command = _command(module, words)
    os.execve(command[0], command, _environment())  # noqa: S606 - this interpreter


def _command(module: str, words: tuple[str, ...]) -> list[str]:
    return [sys.executable, "-P", "-m", module, *words]


def _environment(project: str | None = None) -> dict[str, str]:
    return {**os.environ, **variables(), **({PROJECT_VARIABLE: project} if project else {})}
