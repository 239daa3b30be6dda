"""job-runners tasks: list the tasks that failed permanently."""

from itertools import islice
from typing import Any

import click

from job_runners.cli import output
from job_runners.cli.listing import no_failed_tasks, print_list
from job_runners.cli.options import command as jobs_command
from job_runners.cli.target import Target


@jobs_command()
@click.option(
    "--limit",
    type=click.IntRange(1, 1000),
    default=25,
    help="Number of tasks to show (default 25).",
)
def command(target: Target, limit: int) -> None:
    """List the tasks that failed permanently in the last week, most recently dispatched first."""
    found = islice(target.api.failed_tasks(), limit)
    headings = ("ID", "TASK", "FAILED", "ERROR")
    print_list(target, "tasks", found, headings, _row, if_empty=no_failed_tasks(target))


def _row(task: dict[str, Any]) -> tuple[str, ...]:
    error = _resent(task) + f"{task['error']['kind']}: {task['error']['message']}"
    return task["id"], task["task_name"], output.when(task["failed_at"]), error


def _resent(task: dict[str, Any]) -> str:
    at = task.get("redriven_at")  # missing in the response of an older API
    return f"(resent {output.when(at)}, not started) " if at else ""
