"""job-runners retry: retry failed or canceled jobs."""

import click

from job_runners.cli import options, output
from job_runners.cli.completion import names_of
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
@click.option(
    "--payload",
    "whole",
    metavar="JSON",
    help='Payload to start over with (one job only): JSON, "-" or @FILE.',
)
@click.option("--yes", is_flag=True, help="Don't ask for confirmation.")
@click.option(
    "--watch",
    is_flag=True,
    help="Follow the jobs until they finish. Exit codes as in job-runners watch.",
)
def command(
    target: Target,
    job_ids: tuple[str, ...],
    failed: bool,
    job_type: str | None,
    whole: str | None,
    yes: bool,
    watch: bool,
) -> Exit:
    """Retry failed or canceled jobs from their last saved checkpoint. With --payload, start over
    from the beginning."""
    _check(job_ids, failed=failed, job_type=job_type, whole=whole)
    payload = None if whole is None else read_payload((), whole)
    if failed:
        job_ids = tuple(each.id for each in target.api.list(status="failed", job_type=job_type))
        if not job_ids and job_type:
            check_job_type(target, job_type)
        if job_ids:
            type_and_space = f"{job_type} " if job_type else ""
            what = f"{len(job_ids)} failed {type_and_space}job{'s'[: len(job_ids) != 1]}"
            confirm(f"Retry {what} of {target.owner}, on {target.name}?", yes=yes)
        elif not target.json:
            click.echo("No failed jobs.", err=True)

    retried: list[str] = []

    def retry(job_id: str) -> tuple[dict[str, object], str]:
        job = target.shown(target.api.retry(job_id, payload))
        retried.append(job["id"])
        return job, output.status(job["status"])

    code = for_each_job(target, job_ids, retry)
    if watch and retried:
        from job_runners.cli.commands.watch import watch_jobs

        return watch_jobs(target, retried) or code
    return code


def _check(
    job_ids: tuple[str, ...], *, failed: bool, job_type: str | None, whole: str | None
) -> None:
    """Check that the options fit together. Raises UsageError."""
    options.require_one("job ids, or --failed", job_ids or None, failed or None)
    if job_type and not failed:
        raise click.UsageError("--type requires --failed.")
    if whole is not None and len(job_ids) != 1:
        raise click.UsageError("--payload applies to one job. Pass one id.")
