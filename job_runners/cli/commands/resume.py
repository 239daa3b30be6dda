"""job-runners resume: resume a job type or a queue."""

import click

from job_runners.cli import options
from job_runners.cli.listing import print_done
from job_runners.cli.target import Target


@options.command()
@options.job_type_or_queue
def command(target: Target, kind: str, name: str | None) -> None:
    """Resume a paused job type, or with --queue a paused queue. Waiting jobs start in order."""
    if name is None:
        raise click.UsageError("Pass a job type, or --queue NAME.")
    was_paused = any((pause.kind, pause.name) == (kind, name) for pause in target.api.paused())
    target.api.resume(kind, name)
    what = f"{kind.replace('_', ' ')} {name}"
    if target.json or was_paused:
        result = {"kind": kind, "name": name, "paused": False, "was_paused": was_paused}
        print_done(target, result, f"Resumed: {what}")
    else:
        click.echo(f"Nothing to resume: {what} wasn't paused on {target.name}.", err=True)
