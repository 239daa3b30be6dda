"""job-runners failures: list and resolve the error groups of an organization.

An error group has all failures of one job type with the same kind of error in the same function.
"""

from typing import Any

import click

from job_runners.cli import options, output
from job_runners.cli.finding import find_error_group
from job_runners.cli.listing import print_list
from job_runners.cli.redriving import redrive, tasks
from job_runners.cli.target import Target

_HEADINGS = ("ID", "TYPE", "ERROR", "IN", "FAILURES", "STATE", "LAST SEEN", "NOTE")
_NO_FAILURES = "No job of {} has failed."


@options.group
def command() -> None:
    """List what fails: jobs of one type, with one kind of error, in one function. Counts are
    approximate. `job-runners list --error-group` lists the jobs of a group, and `job-runners retry
    --error-group` retries them. Failed tasks and dead letters are lists of their own."""


@options.command(name="list")
def list_error_groups(target: Target) -> None:
    """List error groups, most recently seen first."""
    if_empty = _NO_FAILURES.format(target.organization_in_words)
    groups = target.api.error_groups()
    print_list(target, "error_groups", groups, _HEADINGS, _row, if_empty=if_empty)


@options.command()
@click.argument("error_group_id")
def resolve(target: Target, error_group_id: str) -> None:
    """Mark an error group as resolved. If it comes back, it is listed as regressed."""
    group = target.api.resolve_error_group(find_error_group(target, error_group_id), resolved=True)
    _print_state(target, target.printable(group))


@options.command()
@click.argument("error_group_id")
def reopen(target: Target, error_group_id: str) -> None:
    """Mark an error group as not resolved."""
    group = target.api.resolve_error_group(find_error_group(target, error_group_id), resolved=False)
    _print_state(target, target.printable(group))


@options.command()
@click.argument("error_group_id")
@click.argument("text")
def note(target: Target, error_group_id: str, text: str) -> None:
    """Set the note of an error group. Pass "" to remove it."""
    group = target.api.note_error_group(find_error_group(target, error_group_id), text or None)
    _print_state(target, target.printable(group))


for subcommand in (list_error_groups, resolve, reopen, note, tasks, redrive):
    command.add_command(subcommand)


def _print_state(target: Target, group: dict[str, Any]) -> None:
    if target.json:
        output.print_json(group)
    else:
        click.echo(f"{output.short_id(group['id'])}  {group['state']}")


def _row(group: dict[str, Any]) -> tuple[str, ...]:
    return (
        output.short_id(group["id"]),
        group["job_type"],
        group["error_kind"],
        group["frame"] or "",
        f"{group['failures']:,}",
        group["state"],
        output.time_and_age(group["last_seen_at"]),
        group["note"] or "",
    )
