"""job-runners retry: retry failed or canceled jobs."""

import click

from job_runners.cli import options, output
from job_runners.cli.completion import names_of
from job_runners.cli.finding import find_error_group, find_job
from job_runners.cli.for_each_job import confirm, for_each_job
from job_runners.cli.known import check_job_type
from job_runners.cli.payload import read_payload
from job_runners.cli.problem import Exit
from job_runners.cli.target import Target


@options.command()
@click.argument("job_ids", nargs=-1)
@click.option("--failed", is_flag=True, help="Retry all failed jobs of the organization.")
@click.option(
    "--type",
    "job_type",
    metavar="NAME",
    shell_complete=names_of("jobs"),
    help="With --failed: retry only jobs of this type.",
)
@click.option("--error-group", metavar="ID", help="Retry all failed jobs of this error group.")
@click.option("--batch", metavar="ID", help="Retry all failed members of this batch.")
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    default=5,
    help="Number of jobs to retry per second (default 5).",
)
@click.option(
    "--payload",
    "payload_option",
    metavar="JSON",
    help='Payload to start over with (one job only): JSON, "-" or @FILE.',
)
@click.option("--yes", is_flag=True, help="Don't ask for confirmation.")
@options.watch
def command(
    target: Target,
    job_ids: tuple[str, ...],
    failed: bool,
    job_type: str | None,
    error_group: str | None,
    batch: str | None,
    rate: float,
    payload_option: str | None,
    yes: bool,
    watch: bool,
) -> Exit:
    """Retry failed or canceled jobs from their last saved checkpoint. With --payload, start over
    from the beginning.

    A batch that still waits for its members waits for the retried ones again."""
    names = "job ids, --failed, --error-group or --batch"
    options.require_one(names, job_ids or None, failed or None, error_group, batch)
    if job_type and not failed:
        raise click.UsageError("--type requires --failed.")
    if payload_option is not None and len(job_ids) != 1:
        raise click.UsageError("--payload applies to one job. Pass one id.")
    payload = None if payload_option is None else read_payload((), payload_option)
    if not job_ids:
        job_ids = _find_failed_jobs(target, job_type, error_group, batch)
        if job_ids:
            noun = "job" if len(job_ids) == 1 else "jobs"
            what = f"{job_type} {noun}" if job_type else noun
            confirm(
                f"Retry {len(job_ids)} failed {what} of {target.organization_in_words}, on "
                f"{target.name}?",
                yes=yes,
            )
        elif not target.json:
            click.echo("No failed jobs.", err=True)

    def retry(job_id: str) -> tuple[dict[str, object], str]:
        job = target.printable(target.api.retry(job_id, payload))
        return job, output.colored_status(job["status"])

    return for_each_job(target, job_ids, retry, rate, watch=watch)


def _find_failed_jobs(
    target: Target, job_type: str | None, error_group: str | None, batch: str | None
) -> tuple[str, ...]:
    """Return the ids of all failed jobs in the batch, the error group or the organization."""
    if batch is not None:
        members = target.api.batch_members(find_job(target, batch, "batch"), status="failed")
        return tuple(member.id for member in members if member.job)
    if error_group is not None:
        error_group = find_error_group(target, error_group)
    jobs = target.api.list(status="failed", job_type=job_type, error_group=error_group)
    ids = tuple(job.id for job in jobs)
    if not ids and job_type:
        check_job_type(target, job_type)
    return ids
