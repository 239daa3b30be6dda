"""jobs new: a job of your own to start from."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import click

from job_runners.cli.local_aws import ROOT
from job_runners.cli.options import command as jobs_command
from job_runners.cli.output import print_json
from job_runners.cli.problem import Problem
from job_runners.cli.target import Target

_GUIDE = "docs/guides/your_own_work.md"


@jobs_command()
@click.argument("name")
@click.option("--package", metavar="NAME", help="In which package, if there is not just one.")
def command(target: Target, name: str, package: str | None) -> None:
    """Write a job of your own that works, with its test: NAME is its name, in small letters and _.

    It goes to app/ beside this checkout's own folders, or to the folder that APP names. What is
    there already is not changed, but for a line more in the table of jobs.

    \b
    jobs new sync_list
    APP=../acme jobs new sync_list --package acme_work
    """
    written = _write(name, package)
    if target.json:
        print_json(written)
    else:
        click.echo(_told(name, written))


def _write(name: str, package: str | None) -> dict[str, Any]:
    """Have the checkout's own tool write it: this command knows nothing of the code behind the API,
    and may be installed where there is no checkout."""
    if not (ROOT / "tools" / "new_job.py").exists():
        raise Problem(
            "jobs new writes into a checkout of Job Runners, and this command is installed alone.",
            hint="Call bin/jobs new in a checkout.",
        )
    command = [
        sys.executable,
        "-P",
        "-m",
        "tools.new_job",
        *(["--package", package] if package else []),
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(  # noqa: S603 - this interpreter
        [*command, "--", name], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise Problem(done.stderr.strip())
    written: dict[str, Any] = json.loads(done.stdout)
    return written


def _told(name: str, written: dict[str, Any]) -> str:
    lines = [f"Wrote  {_shown(path)}" for path in written["files"]]
    if written["entry"]:
        lines += [
            "",
            f"Add this line to JOBS in {_shown(written['table'])}, which is written in a way that",
            "only its author can safely change, or does not import Job and Retry:",
            f"    {written['entry']}",
        ]
    app = os.environ.get("APP")
    prefix = f"APP={shlex.quote(app)} " if app else ""
    requirements = str(Path(written["table"]).parents[1] / "requirements.txt")
    return "\n".join(
        [
            *lines,
            "",
            f"Test it           {prefix}make test-app",
            f"Run it            {prefix}make run DEMO=0       a local AWS, until Ctrl-C",
            "                  and in another terminal:",
            f'                  bin/jobs dispatch {name} items:=\'["ada", "grace"]\' --watch',
            f"Need a package?   Name it in {_shown(requirements)}, then {prefix}make lock",
            f"More              {_GUIDE}",
        ]
    )


def _shown(path: str) -> str:
    """Return a path from the current folder, if it is below it."""
    return os.path.relpath(path) if Path(path).is_relative_to(Path.cwd()) else path
