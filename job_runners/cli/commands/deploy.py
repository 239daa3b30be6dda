"""jobs deploy: build and deploy to AWS."""

from job_runners.cli import project_tools
from job_runners.cli.options import command as jobs_command
from job_runners.cli.target import Target


@jobs_command()
def command(target: Target) -> None:  # noqa: ARG001
    """Build and deploy to the AWS account of your credentials."""
    project_tools.require_project()
    region = project_tools.region()
    project_tools.run("job_runners.building.sam", "build")
    project_tools.become("job_runners.building.deploy", "--region", region)
