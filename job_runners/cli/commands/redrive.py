"""jobs redrive: dead letters, sent again."""

import click

from job_runners.cli import output
from job_runners.cli.options import command as jobs_command
from job_runners.cli.target import Target


@jobs_command()
def command(target: Target) -> None:
    """Send dead letters again: failure records that could not be settled, delayed messages that
    could not be sent. Fix first what kept them from it, or they come back."""
    from job_runners.cli.dead_letters import redrive

    queues = {"failures": target.stack.failures_queue_url, "delayed": target.stack.delay_queue_url}
    moved = {name: redrive(target.client("sqs"), url) for name, url in queues.items()}
    if target.json:
        output.print_json(moved)
        return
    for name, count in moved.items():
        letters = "1 dead letter" if count == 1 else f"{count} dead letters"
        click.echo(f"{name}: {letters} sent again")
