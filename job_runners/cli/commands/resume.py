"""jobs resume: a job type or a queue goes on."""

import click

from job_runners.cli import output
from job_runners.cli.options import command as jobs_command
from job_runners.cli.options import pausable
from job_runners.cli.where import Where


@jobs_command()
@pausable
def command(where: Where, kind: str, name: str) -> None:
    """Let a paused job type, or with --queue a paused queue, go on; what waited starts in order."""
    was_paused = any((each["kind"], each["name"]) == (kind, name) for each in where.api.paused())
    where.api.resume(kind, name)
    what = f"{kind.replace('_', ' ')} {name}"
    if where.json:
        output.print_json({"kind": kind, "name": name, "paused": False, "was_paused": was_paused})
    elif was_paused:
        click.echo(f"Resumed: {what}, on {where.name}")
    else:
        click.echo(f"Nothing to resume: {what} was not paused on {where.name}.", err=True)
