"""job-runners list: list the jobs of an organization."""

from itertools import islice
from typing import Any

import click

from job_runners.cli import options, output
from job_runners.cli.completion import names_of
from job_runners.cli.finding import find_error_group
from job_runners.cli.known import check_job_type, warn_of_unknown_queue
from job_runners.cli.listing import print_list
from job_runners.cli.output import Job
from job_runners.cli.target import Target
from job_runners.cli.times import parse_start
from job_runners.cli.watching import state

STATUSES = (
    "scheduled",
    "waiting",
    "queued",
    "running",
    "retryable",
    "succeeded",
    "failed",
    "canceled",
)


@options.command()
@click.option("--status", type=click.Choice(STATUSES), help="Show only jobs in this state.")
@click.option(
    "--type",
    "job_type",
    metavar="NAME",
    shell_complete=names_of("jobs"),
    help="Show only jobs of this type.",
)
@click.option("--queue", "queue_name", metavar="NAME", help="Show only jobs in this queue.")
@click.option(
    "--waits-for",
    type=click.Choice(("signal", "group", "time", "line", "queue", "job_type", "job")),
    help="Show only jobs that wait for this, such as a signal.",
)
@click.option(
    "--search",
    metavar="WORDS",
    help="Show only jobs whose id, message or error starts with this text.",
)
@click.option(
    "--error-group",
    "error_group_id",
    metavar="ID",
    help="Show only the jobs in this error group. `job-runners failures` lists the groups.",
)
@click.option(
    "--since",
    metavar="TIME",
    callback=parse_start,
    help="Show only jobs created in this time, such as 15m, 2h or 1d, or since a time such as "
    "2026-05-01T09:00. With --status failed: jobs that failed then.",
)
@click.option(
    "--limit", type=click.IntRange(1), default=25, help="Number of jobs to show (default 25)."
)
@click.option("--all", "show_all", is_flag=True, help="Show all jobs.")
def command(
    target: Target,
    job_type: str | None,
    queue_name: str | None,
    error_group_id: str | None,
    limit: int,
    show_all: bool,
    **filters: Any,  # the other options, by their names in the API
) -> None:
    """List your organization's jobs, newest first. With --status failed, sort by failure time.

    A terminal shows the first 8 characters of each id. Every command accepts them as the id. In a
    pipe, each job is a line of tab-separated fields without headings: full id, type, status,
    progress, time and message.
    """
    error_group = find_error_group(target, error_group_id) if error_group_id else None
    filters |= {"job_type": job_type, "queue_name": queue_name, "error_group": error_group}
    matches = target.api.list(**filters)
    jobs = list(matches if show_all else islice(matches, limit))
    if not jobs and job_type:
        check_job_type(target, job_type)
    if not jobs and queue_name:
        warn_of_unknown_queue(target, queue_name, "only jobs dispatched to it by name can be in it")
    headings = ("ID", "TYPE", "STATUS", "", "CREATED", "")
    if_empty = f"No matching jobs of {target.organization_in_words} on {target.name}."
    print_list(target, "jobs", jobs, headings, _row, if_empty=if_empty)
    if jobs and not target.json and not show_all and next(matches, None):
        click.echo(
            f"Showing the newest {limit}. For more, pass a higher --limit, or --all.", err=True
        )


def _row(job: Job) -> tuple[str, ...]:
    return (
        output.short_id(job["id"]),
        job["job_type"],
        job["status"],
        f"{job['progress']:.0f}%",
        output.time_and_age(job["created_at"]),
        state(job),
    )
