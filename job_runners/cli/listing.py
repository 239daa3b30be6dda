"""Print what all commands print in the same way: lists, and what was done or dispatched."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import click

from job_runners.cli import output
from job_runners.cli.polling import watch_jobs
from job_runners.cli.problem import Exit
from job_runners.cli.target import HasRaw, Target
from job_runners.client import models
from job_runners.client.batch_models import Batch


def print_list(
    target: Target,
    name: str,
    values: Iterable[HasRaw],
    headings: Sequence[str],
    row: Callable[[dict[str, Any]], Sequence[str]],
    *,
    if_empty: str,
) -> None:
    """Print values from the API as `print_entries` does."""
    entries = list(map(target.shown, values))
    print_entries(target, name, entries, headings, row, if_empty=if_empty)


def print_entries(
    target: Target,
    name: str,
    entries: Sequence[dict[str, Any]],
    headings: Sequence[str],
    row: Callable[[dict[str, Any]], Sequence[str]],
    *,
    if_empty: str,
) -> None:
    """Print entries as JSON, as a table, or as a sentence if there are none.

    `name` is their field in JSON, and `row` returns the cells of one.
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


def print_dispatched(
    target: Target, result: dict[str, Any], text: str, *, watch: bool = False
) -> Exit:
    """Print the id of something that was dispatched, and say so. If asked, watch it as a job."""
    if not watch and target.json:
        output.print_json(result)
        return Exit.DONE
    if not watch and result["id"]:
        click.echo(output.plain(result["id"]))
    if not target.json:
        text = f"{result['id']}  {text}" if watch else text
        click.echo(output.plain(f"{text}, on {target.name}"), err=True)
    return watch_jobs(target, [result["id"]]) if watch else Exit.DONE


_REPLAYED = "was dispatched before with this key"
# The outcomes of a dispatch if the job type is unique and a job for the same work exists.
_OUTCOMES = {
    "returned": "already exists (same work)",
    "replaced": "already existed, and now has this payload and time",
    "follows": "will start after the running job that does the same work",
}


def outcome(value: models.Job | Batch) -> str:
    """Return the outcome of a dispatch in words."""
    kept = getattr(value, "unique_outcome", None)
    return _OUTCOMES.get(kept or "", _REPLAYED if value.replayed else "dispatched")


def dispatched(target: Target, job: models.Job) -> output.Job:
    """Return a dispatched job as JSON, with the fields that the API sends in headers."""
    headers = {"replayed": job.replayed, "unique_outcome": job.unique_outcome}
    return target.shown(job) | headers
