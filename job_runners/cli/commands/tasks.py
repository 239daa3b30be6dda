"""jobs tasks: which tasks failed for good."""

from itertools import islice
from typing import Any

import click

from job_runners.cli import output
from job_runners.cli.options import command as jobs_command
from job_runners.cli.target import Target


@jobs_command()
@click.option("--failed", is_flag=True, help="Changes nothing: only failed tasks are kept.")
@click.option("--limit", type=click.IntRange(1, 1000), default=25, show_default=True)
def command(target: Target, failed: bool, limit: int) -> None:  # noqa: ARG001 - as help says
    """Show the tasks of the last week that failed for good, those dispatched last first.

    \b
    jobs tasks
    """
    found = list(islice(target.api.failed_tasks(), limit))
    if target.json:
        output.print_json({"tasks": found})
    elif found:
        rows = [
            (
                each["id"],
                each["task_name"],
                output.when(each["failed_at"]),
                _sent_again(each) + f"{each['error']['kind']}: {each['error']['message']}",
            )
            for each in found
        ]
        output.table(("ID", "TASK", "FAILED", "ERROR"), rows)
    else:
        click.echo(f"No task has failed on {target.name} in the last week.", err=True)


def _sent_again(task: dict[str, Any]) -> str:
    at = task.get("redriven_at")  # not of an API that is older than this command
    return f"(sent again {output.when(at)}, not begun) " if at else ""
