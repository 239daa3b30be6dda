"""Print what all commands print in the same way: lists, and what was done to a named thing."""

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
    """Print entries as JSON, as a table, or as a sentence if there are none.

    `name` is their field in JSON, and `row` returns the cells of an entry.
    """
    if target.json:
        output.print_json({name: entries})
    elif entries:
        output.table(headings, [row(each) for each in entries])
    else:
        click.echo(if_empty, err=True)


def print_done(target: Target, result: dict[str, Any], text: str) -> None:
    """Print the result of a change: as JSON, or as a sentence."""
    if target.json:
        output.print_json(result)
    else:
        click.echo(output.plain(f"{text}, on {target.name}"))


def no_failed_tasks(target: Target) -> str:
    """Return the sentence for a stack without failed tasks."""
    return f"No task has failed on {target.name} in the last week."
