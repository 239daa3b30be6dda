"""job-runners lock: pin and install the packages that the project's work needs."""

import click

from job_runners.cli import options, project_tools
from job_runners.cli.target import Target
from job_runners.places import ROOT


@options.command()
@click.option(
    "--tools", is_flag=True, help="Also pin Job Runners and its tools, in tools.lock, for CI."
)
def command(target: Target, tools: bool) -> None:  # noqa: ARG001
    """Pin the packages in requirements.txt, and install them for your tests. If the project has a
    tools.lock, update it too."""
    project_tools.require_project()
    project_tools.run("job_runners.building.app_requirements", "lock")
    if tools or (ROOT / "tools.lock").exists():
        project_tools.run("job_runners.building.tool_requirements")
    project_tools.become("job_runners.building.app_requirements", "install")
