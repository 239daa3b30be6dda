"""job-runners test: check the project's jobs and tasks, and run its tests."""

import click

from job_runners.cli import options, project_tools
from job_runners.cli.target import Target


@options.command(context_settings={"ignore_unknown_options": True})
@click.argument("pytest_arguments", nargs=-1, type=click.UNPROCESSED)
def command(target: Target, pytest_arguments: tuple[str, ...]) -> None:  # noqa: ARG001
    """Check that functions can import the project's work, then run its tests with pytest."""
    project_tools.require_project()
    click.echo("Checking that functions can import your code, then running its tests", err=True)
    project_tools.run_or_exit("job_runners.building.build")
    project_tools.replace_process("job_runners.building.app_tests", *pytest_arguments)
