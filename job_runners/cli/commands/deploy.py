"""jobs deploy: build and deploy to AWS."""

import click

from job_runners.cli import project_tools
from job_runners.cli.options import command as jobs_command
from job_runners.cli.target import Target


@jobs_command()
def command(target: Target) -> None:  # noqa: ARG001
    """Build and deploy to the AWS account of your credentials."""
    project_tools.require_project()
    region = project_tools.call("job_runners.local.account", capture=True)
    click.echo(region.stderr, err=True, nl=False)
    if region.returncode != 0:
        project_tools.end(region.returncode)
    built = project_tools.call("job_runners.building.sam", "build")
    if built.returncode != 0:
        project_tools.end(built.returncode)
    project_tools.become("job_runners.building.deploy", "--region", region.stdout.strip())
