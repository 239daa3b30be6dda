"""job-runners build: build the functions for AWS."""

from job_runners.cli import project_tools
from job_runners.cli.options import command as jobs_command
from job_runners.cli.target import Target


@jobs_command()
def command(target: Target) -> None:  # noqa: ARG001
    """Build the functions for AWS, as samconfig.toml says: sam build."""
    project_tools.require_project()
    project_tools.become("job_runners.building.sam", "build")
