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
def command(target: Target, config_env: str | None) -> None:
    """Build and deploy to the AWS account of your credentials."""
    from job_runners.cli import account

    project_tools.require_project()
    words = ["--config-env", config_env] if config_env else []
    region = account.region(target)
    if words:  # a build takes a minute
        project_tools.run("job_runners.building.deploy", "--region", region, *words, "--check")
    project_tools.run("job_runners.building.sam", "build")
    project_tools.become("job_runners.building.deploy", "--region", region, *words)
