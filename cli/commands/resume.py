"""jobs resume: a job type or a queue, let go."""

import click

from cli import output
from cli.options import command as jobs_command
from cli.options import pausable
from cli.where import Where


@jobs_command()
@pausable
def command(where: Where, kind: str, name: str) -> None:
    """Let a paused job type, or with --queue a paused queue, go on; what waited starts in order."""
    where.api.resume(kind, name)
    if where.json:
        output.print_json({"kind": kind, "name": name, "paused": False})
    else:
        click.echo(f"Resumed: {kind.replace('_', ' ')} {name}, on {where.name}")
