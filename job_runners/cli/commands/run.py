"""jobs run: run the project on a local AWS."""

import click

from job_runners.cli import project_tools
from job_runners.cli.options import command as jobs_command
from job_runners.cli.target import Target


@jobs_command()
@click.option("--demo", is_flag=True, help="Also run the built-in sample campaign.")
@click.option("--keep", is_flag=True, help="Keep the data for the next run with --keep.")
@click.option(
    "--listen", metavar="ADDRESS", help="Also listen on this address, where containers reach it."
)
def command(target: Target, demo: bool, keep: bool, listen: str | None) -> None:  # noqa: ARG001
    """Run the project's jobs on a local AWS until Ctrl-C. Your changes reload on save."""
    project_tools.require_project()
    words = ["--campaign"] if demo else ["--empty"]
    words += ["--keep"] if keep else []
    words += ["--listen", listen] if listen else []
    project_tools.become("job_runners.local.run", *words)
