"""jobs pause: a job type or a queue, held back."""

import click

from cli import output
from cli.options import command as jobs_command
from cli.options import pausable
from cli.where import Where


@jobs_command()
@pausable
def command(where: Where, kind: str, name: str) -> None:
    """Hold back a job type, or with --queue a queue: its jobs are accepted, and wait. What runs
    already goes on. Workers notice within 10 seconds."""
    entry = where.api.pause(kind, name)
    if where.json:
        output.print_json(entry)
    else:
        click.echo(f"Paused: {kind.replace('_', ' ')} {name}, on {where.name}")
