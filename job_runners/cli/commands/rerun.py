"""jobs rerun: a new job like one that has ended."""

import click

from job_runners.cli.for_each_job import for_each_job
from job_runners.cli.options import command as jobs_command
from job_runners.cli.problem import Exit
from job_runners.cli.target import Target


@jobs_command()
@click.argument("job_ids", nargs=-1, required=True)
def command(target: Target, job_ids: tuple[str, ...]) -> Exit:
    """Dispatch a new job for each of these: of the same type, with the same payload, campaign and
    queue. The old one stays as it is; to go on with a job that failed, use retry.

    Prints both ids, the old one and the new one's.
    """

    def rerun(job_id: str) -> tuple[dict[str, object], str]:
        job = target.api.rerun(job_id)
        return job, str(job["id"])

    return for_each_job(target, job_ids, rerun)
