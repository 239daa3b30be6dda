"""job-runners run: run the project on a local AWS."""

import json

import click

from job_runners.cli import options, project_tools
from job_runners.cli.target import Target


@options.command()
@click.option("--keep", is_flag=True, help="Keep the data for the next run with --keep.")
@click.option("--quiet", is_flag=True, help="Of what jobs do, show only their failures.")
@click.option(
    "--listen", metavar="ADDRESS", help="Also listen on this address, where containers reach it."
)
@click.option(
    "--workers",
    type=click.IntRange(1, 100),
    default=4,
    show_default=True,
    help="Number of jobs and tasks that run at once.",
)
@click.option(
    "--parameter",
    "parameters",
    multiple=True,
    metavar="NAME=VALUE",
    help="Set a parameter of the template, such as WorkerTimeout=30, instead of the value in "
    "samconfig.toml. Repeatable.",
)
@click.option(
    "--loopback-webhooks",
    is_flag=True,
    help="Let webhooks go to http://127.0.0.1 and http://localhost, which AWS refuses.",
)
@click.option(
    "--processes",
    type=click.Choice(["auto", "fork", "spawn"]),
    default="auto",
    show_default=True,
    help="Start functions as forks of a process that has imported your code, or let each import "
    "it. auto means fork on Linux, unless your code starts threads when it is imported.",
)
@click.option(
    "--import-seconds",
    type=click.FloatRange(min=0.1),
    default=60,
    show_default=True,
    help="Seconds that importing your code may take.",
)
def command(
    target: Target,  # noqa: ARG001
    **settings: object,  # the options above
) -> None:
    """Run the project's jobs on a local AWS until Ctrl-C. Your changes reload on save. What jobs do
    and print is shown as it happens."""
    project_tools.require_project()
    project_tools.replace_process("job_runners.local.run", json.dumps(settings))
