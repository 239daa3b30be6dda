"""job-runners deploy: build and deploy to AWS."""

import click

from job_runners.cli import options, project_tools
from job_runners.cli.target import Target


@options.command()
@click.option(
    "--config-env",
    metavar="NAME",
    help="Use the parameters of this environment in samconfig.toml (default: default).",
)
@click.option("--build-only", is_flag=True, help="Build the functions for AWS, and deploy nothing.")
def command(target: Target, config_env: str | None, build_only: bool) -> None:  # noqa: ARG001
    """Build the functions as samconfig.toml says (sam build), and deploy them to the AWS account of
    your credentials."""
    from job_runners.cli import account

    project_tools.require_project()
    if build_only:
        project_tools.become("job_runners.building.sam", "build")
    words = ["--config-env", config_env] if config_env else []
    region = account.region()
    if words:  # a build takes a minute
        project_tools.run("job_runners.building.deploy", "--region", region, *words, "--check")
    project_tools.run("job_runners.building.sam", "build")
    project_tools.become("job_runners.building.deploy", "--region", region, *words)
