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
    region = account.check_account(target)
    arguments = ["--region", region]
    if config_env:
        arguments += ["--config-env", config_env]
        # A build takes a minute, so check first that the environment exists.
        project_tools.run_or_exit("job_runners.building.deploy", *arguments, "--check")
    project_tools.run_or_exit("job_runners.building.sam", "build")
    project_tools.replace_process("job_runners.building.deploy", *arguments)
