"""jobs pause: a job type or a queue, held back."""

import click

from job_runners.cli import output
from job_runners.cli.known import note_unknown_queue
from job_runners.cli.options import command as jobs_command
from job_runners.cli.options import pausable
from job_runners.cli.target import Target


@jobs_command()
@pausable
def command(target: Target, kind: str, name: str) -> None:
    """Hold back a job type, or with --queue a queue: its jobs are accepted, and wait. Within 10
    seconds none of them starts. What runs stops at its next written checkpoint that has a cursor,
    and waits too; without such a checkpoint it goes on to its end."""
    entry = target.api.pause(kind, name)
    if kind == "queue":
        note_unknown_queue(target, name, "only jobs that are dispatched to it by name wait")
    if target.json:
        output.print_json(entry)
    else:
        click.echo(f"Paused: {kind.replace('_', ' ')} {name}, on {target.name}")
