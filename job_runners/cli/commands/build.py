"""job-runners build: build the functions for AWS."""

from job_runners.cli import options, project_tools
from job_runners.cli.target import Target


@options.command()
def command(target: Target) -> None:  # noqa: ARG001
    """Build the functions for AWS, as samconfig.toml says: sam build."""
    project_tools.require_project()
    project_tools.replace_process("job_runners.building.sam", "build")
