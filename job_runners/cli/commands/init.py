"""job-runners init: create a project."""

import os

import click

from job_runners.cli import project_tools
from job_runners.cli.options import command as jobs_command
from job_runners.cli.output import print_json
from job_runners.cli.target import Target


@jobs_command()
@click.argument("folder")
@click.option("--github", is_flag=True, help="Also write workflows: test, deploy, advisories.")
def command(target: Target, folder: str, github: bool) -> None:
    """Create a project in FOLDER, with a first job and its test."""
    project_tools.require_extra("app")
    words = ["--github"] if github else []
    written = project_tools.answer("job_runners.building.new_project", *words, "--", folder)
    if target.json:
        print_json(written)
        return
    for file in written["files"]:
        click.echo(f"Wrote  {os.path.relpath(file)}")
    click.echo(
        f"""
Next
  cd {folder}
  job-runners test      checks the job, and runs its test
  job-runners run       starts a local AWS with the job, until Ctrl-C"""
    )
    if github:
        click.echo("  job-runners lock --tools   pins what the workflow deploy.yml installs")
