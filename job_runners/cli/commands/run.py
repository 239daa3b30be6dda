"""job-runners run: run the project on a local AWS."""

import click

from job_runners.cli import options, project_tools
from job_runners.cli.target import Target


@options.command()
@click.option("--keep", is_flag=True, help="Keep the data for the next run with --keep.")
@click.option("--quiet", is_flag=True, help="Of what jobs do, show only their failures.")
@click.option(
    "--listen", metavar="ADDRESS", help="Also listen on this address, where containers reach it."
)
def command(
    target: Target,  # noqa: ARG001
    keep: bool,
    quiet: bool,
    listen: str | None,
) -> None:
    """Run the project's jobs on a local AWS until Ctrl-C. Your changes reload on save. What jobs do
    and print is shown as it happens."""
    project_tools.require_project()
    words = ["--keep"] if keep else []
    words += ["--quiet"] if quiet else []
    words += ["--listen", listen] if listen else []
    project_tools.become("job_runners.local.run", *words)
