"""job-runners pause: pause a job type or a queue."""

import click

from job_runners.cli import output
from job_runners.cli.known import note_unknown_queue
from job_runners.cli.options import command as jobs_command
from job_runners.cli.options import pausable
from job_runners.cli.target import Target


@jobs_command()
@pausable
def command(target: Target, kind: str, name: str) -> None:
    """Pause a job type, or with --queue a queue. New jobs are accepted and wait.

    After 10 seconds no job starts. A running job stops when it next saves a checkpoint with a
    cursor, and waits. A running job that saves no cursor runs to its end."""
    entry = target.shown(target.api.pause(kind, name))
    if kind == "queue":
        note_unknown_queue(target, name, "the pause applies only to jobs dispatched to it by name")
    if target.json:
        output.print_json(entry)
    else:
        click.echo(f"Paused: {kind.replace('_', ' ')} {name}, on {target.name}")
