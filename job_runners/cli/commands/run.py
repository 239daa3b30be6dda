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
@click.option("--workers", type=int, help="Number of jobs and tasks that run at once (default 4).")
@click.option(
    "--processes",
    type=click.Choice(["auto", "fork", "spawn"]),
    help="Start functions as copies of a process that has imported your code (fork), or let each "
    "import it (spawn). The default is fork on Linux, unless your code starts threads when it is "
    "imported.",
)
@click.option(
    "--import-seconds", type=float, help="Seconds that importing your code may take (default 60)."
)
@click.option(
    "--parameter",
    multiple=True,
    metavar="NAME=VALUE",
    help="Set a parameter of the template, such as WorkerTimeout=30, instead of the value in "
    "samconfig.toml. Repeatable.",
)
def command(
    target: Target,  # noqa: ARG001
    keep: bool,
    quiet: bool,
    parameter: tuple[str, ...],
    **given: object,
) -> None:
    """Run the project's jobs on a local AWS until Ctrl-C. Your changes reload on save. What jobs do
    and print is shown as it happens."""
    project_tools.require_project()
    words = ["--keep"] if keep else []
    words += ["--quiet"] if quiet else []
    for name, value in given.items():
        words += [f"--{name.replace('_', '-')}", str(value)] if value is not None else []
    for each in parameter:
        words += ["--parameter", each]
    project_tools.become("job_runners.local.run", *words)
