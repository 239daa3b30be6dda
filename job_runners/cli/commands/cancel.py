"""jobs cancel: jobs, stopped."""

import click

from job_runners.cli import output
from job_runners.cli.for_each_job import for_each_job
from job_runners.cli.options import command as jobs_command
from job_runners.cli.problem import Exit
from job_runners.cli.target import Target


@jobs_command()
@click.argument("job_ids", nargs=-1, required=True)
def command(target: Target, job_ids: tuple[str, ...]) -> Exit:
    """Stop jobs. One that waits is cancelled at once; a running one is asked to stop, and does at
    its next written checkpoint, or when its leg or attempt ends."""

    def cancel(job_id: str) -> tuple[dict[str, object], str]:
        job = target.api.cancel(job_id)
        if job["status"] == "cancelled":
            return job, output.status("cancelled")
        return job, "asked to stop; if it is done before it hears of that, it has succeeded"

    return for_each_job(target, job_ids, cancel)
