"""job-runners rerun: dispatch a copy of a finished job."""

import click

from job_runners.cli.for_each_job import for_each_job
from job_runners.cli.listing import dispatched
from job_runners.cli.options import command as jobs_command
from job_runners.cli.problem import Exit
from job_runners.cli.target import Target


@jobs_command()
@click.argument("job_ids", nargs=-1, required=True)
def command(target: Target, job_ids: tuple[str, ...]) -> Exit:
    """Dispatch a new job with the type, payload and queue of each job. The old job
    doesn't change. To continue a failed job, use `job-runners retry`.

    Prints the old and the new id.
    """

    def rerun(job_id: str) -> tuple[dict[str, object], str]:
        job = dispatched(target, target.api.rerun(job_id))
        return job, str(job["id"])

    return for_each_job(target, job_ids, rerun)
