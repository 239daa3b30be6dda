"""job-runners init: create a project."""

import os
from pathlib import Path

import click

from job_runners.cli import options, project_tools
from job_runners.cli.output import print_json
from job_runners.cli.target import Target


@options.command()
@click.argument("folder")
@click.option("--github", is_flag=True, help="Also write workflows: test, deploy, advisories.")
def command(target: Target, folder: str, github: bool) -> None:
    """Create a project in FOLDER, with a first job and its test. Pin its packages in uv.lock."""
    project_tools.require_extra("app")
    from job_runners.building.new_project import lock, new_project

    files = new_project(Path(folder), github=github)
    lock_problem = lock(Path(folder))
    if not lock_problem:
        files.append(Path(folder) / "uv.lock")
    if target.json:
        print_json({"files": list(map(str, files))})
        return
    for file in files:
        click.echo(f"Wrote  {os.path.relpath(file)}")
    lines = ["", "Next"]
    if Path(folder).resolve() != Path.cwd():
        lines.append(f"  cd {folder}")
    lines += ["  job-runners test      checks the job, and runs its test"]
    lines += ["  job-runners run       starts a local AWS with the job, until Ctrl-C"]
    click.echo("\n".join(lines))
    if lock_problem:
        click.echo(f"\n{lock_problem}", err=True)
