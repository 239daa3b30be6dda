"""job-runners rerun: dispatch copies of finished jobs."""

import click

from job_runners.cli import options
from job_runners.cli.for_each_job import for_each_job
from job_runners.cli.listing import dispatch_result
from job_runners.cli.problem import Exit
from job_runners.cli.target import Target


@options.command()
@click.argument("job_ids", nargs=-1, required=True)
@click.option(
    "--from",
    "from_step",
    metavar="STEP",
    help="Start with the results of the steps before this one (one job only).",
)
@options.watch
def command(target: Target, job_ids: tuple[str, ...], from_step: str | None, watch: bool) -> Exit:
    """Dispatch a copy of each finished job as a new job, and print its id. The copy has the type,
    payload and queue of the job, which doesn't change."""
    if from_step is not None and len(job_ids) != 1:
        raise click.UsageError("--from applies to one job. Pass one id.")

    def rerun(job_id: str) -> tuple[dict[str, object], str]:
        job = dispatch_result(target, target.api.rerun(job_id, from_step=from_step))
        return job, str(job["id"])

    return for_each_job(target, job_ids, rerun, watch=watch)
