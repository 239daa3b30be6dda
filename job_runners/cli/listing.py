"""Print the lists of all commands: as JSON, as a table, or as a sentence if a list is empty."""

from collections.abc import Callable, Sequence
from typing import Any

import click

from job_runners.cli import output
from job_runners.cli.target import Target


def print_list(
    target: Target,
    name: str,
    entries: list[dict[str, Any]],
    headings: Sequence[str],
    row: Callable[[dict[str, Any]], Sequence[str]],
    *,
    if_empty: str,
) -> None:
    """Print entries. `name` is their field in JSON, and `row` returns the cells of an entry."""
    if target.json:
        output.print_json({name: entries})
    elif entries:
        output.table(headings, [row(each) for each in entries])
    else:
        click.echo(if_empty, err=True)


def no_failed_tasks(target: Target) -> str:
    """Return the sentence for a stack without failed tasks."""
    return f"No task has failed on {target.name} in the last week."
