"""jobs adopt: make a project of an app's folder for version 0.2."""

import os
from typing import Any

import click

from job_runners.cli import project_tools
from job_runners.cli.options import command as jobs_command
from job_runners.cli.output import print_json
from job_runners.cli.target import Target
from job_runners.places import COMMAND


@jobs_command()
@click.argument("app")
@click.argument("folder", default=".")
@click.option("--checkout", metavar="PATH", help="Checkout of 0.2.0, if APP is not in it.")
@click.option("--github", is_flag=True, help="Also write workflows: test, deploy, advisories.")
def command(target: Target, app: str, folder: str, checkout: str | None, github: bool) -> None:
    """Create a project from APP, a folder with jobs for the released version 0.2.0.

    Jobs are for this version if they import from `work`, not from `job_runners.work`. A project
    that jobs init created needs none of this.

    Writes to FOLDER (default: the current folder), which must be empty. Rewrites imports and other
    names of Job Runners in code, tests and options. Takes the stack's name, its parameters and
    s3_prefix from samconfig.toml in the checkout. APP and the checkout stay as they are.

    \b
    jobs adopt ../job-runners/app my-jobs
    """
    project_tools.require_app_extra()
    words = ["--github"] if github else []
    words += ["--checkout", checkout] if checkout else []
    adopted = project_tools.answer("job_runners.building.adopt", *words, "--", app, folder)
    if target.json:
        print_json(adopted)
    else:
        click.echo("\n".join(_lines(adopted)))


def _lines(adopted: dict[str, Any]) -> list[str]:
    lines = [
        f"Wrote the project {os.path.relpath(adopted['project'])}",
        f"  packages        {', '.join(adopted['packages'])}",
        f"  samconfig.toml  the stack {adopted['stack']}, its parameters and s3_prefix",
    ]
    if adopted["doubts"]:
        lines += ["", "Change these places by hand"]
        lines += [f"  {each}" for each in adopted["doubts"]]
    if adopted["lock"]:
        lines += ["", f"requirements.lock isn't updated. {adopted['lock']}"]
    return [
        *lines,
        "",
        "Next",
        *([f"  cd {adopted['project']}"] if adopted["project"] != "." else []),
        "  pip install -e .",
        *([f"  {COMMAND} lock"] if adopted["lock"] else []),
        f"  {COMMAND} test      checks the jobs, and runs their tests",
        f"  {COMMAND} deploy    updates the stack {adopted['stack']}",
    ]
