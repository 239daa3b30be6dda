"""Print lists, changes and dispatched jobs in the same way in all commands."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import click

from job_runners.cli import output
from job_runners.cli.polling import watch_jobs
from job_runners.cli.problem import Exit
from job_runners.cli.target import Target
from job_runners.client import models
from job_runners.client.batch_models import Batch
from job_runners.client.from_json import FromJson


def print_list(
    target: Target,
    name: str,
    values: Iterable[FromJson],
    headings: Sequence[str],
    to_cells: Callable[[dict[str, Any]], Sequence[str]],
    *,
    if_empty: str,
) -> None:
    """Print values from the API with `print_entries`."""
    entries = list(map(target.printable, values))
    print_entries(target, name, entries, headings, to_cells, if_empty=if_empty)


def print_entries(
    target: Target,
    name: str,
    entries: Sequence[dict[str, Any]],
    headings: Sequence[str],
    to_cells: Callable[[dict[str, Any]], Sequence[str]],
    *,
    if_empty: str,
) -> None:
    """Print entries as JSON, in a field called `name`, or as a table.

    `to_cells` returns the cells of an entry's row. Instead of an empty table, print `if_empty`.
    """
    if target.json:
        output.print_json({name: entries})
    elif entries:
        output.print_table(headings, [to_cells(entry) for entry in entries])
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
    """Print a dispatched job's or task's id, and print `text` to standard error.

    With `watch`, follow the job until it finishes.
    """
    work_id = result["id"]
    if watch:
        if not target.json:
            click.echo(output.plain(f"{work_id}  {text}, on {target.name}"), err=True)
        return watch_jobs(target, [work_id])
    if target.json:
        output.print_json(result)
        return Exit.DONE
    if work_id:
        click.echo(output.plain(work_id))
    click.echo(output.plain(f"{text}, on {target.name}"), err=True)
    return Exit.DONE


_REPLAYED = "was dispatched before with this key"
# What a dispatch of a unique job type did if a job for the same work already existed.
_UNIQUE_OUTCOMES = {
    "returned": "already exists (same work)",
    "replaced": "already existed, and now has this payload and time",
    "follows": "will start after the running job that does the same work",
}


def outcome_in_words(job: models.Job | Batch) -> str:
    """Describe the outcome of the dispatch that returned this job."""
    if isinstance(job, models.Job) and job.unique_outcome in _UNIQUE_OUTCOMES:
        return _UNIQUE_OUTCOMES[job.unique_outcome]
    return _REPLAYED if job.replayed else "dispatched"


def dispatch_result(target: Target, job: models.Job) -> output.Job:
    """Return a dispatched job as JSON, with the fields that the API sends in headers."""
    from_headers = {"replayed": job.replayed, "unique_outcome": job.unique_outcome}
    return target.printable(job) | from_headers
