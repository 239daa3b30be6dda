"""jobs paused: list the paused job types and queues."""

import click

from job_runners.cli import output
from job_runners.cli.options import command as jobs_command
from job_runners.cli.target import Target


@jobs_command()
def command(target: Target) -> None:
    """List paused job types and queues, and when each was paused."""
    entries = target.api.paused()
    if target.json:
        output.print_json({"paused": entries})
    elif entries:
        rows = [
            (each["kind"].replace("_", " "), each["name"], output.when(each["paused_at"]))
            for each in entries
        ]
        output.table(("KIND", "NAME", "PAUSED"), rows)
    else:
        click.echo(f"Nothing is paused on {target.name}.", err=True)
