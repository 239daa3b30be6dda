"""jobs lock: pin and install the packages that the project's work needs."""

from job_runners.cli import project_tools
from job_runners.cli.options import command as jobs_command
from job_runners.cli.target import Target


@jobs_command()
def command(target: Target) -> None:  # noqa: ARG001
    """Pin the packages in requirements.txt, and install them for your tests."""
    project_tools.require_project()
    project_tools.run("job_runners.building.app_requirements", "lock")
    project_tools.become("job_runners.building.app_requirements", "install")
