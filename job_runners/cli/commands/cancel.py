"""job-runners cancel: cancel jobs."""

import click

from job_runners.cli import options, output
from job_runners.cli.for_each_job import for_each_job
from job_runners.cli.problem import Exit
from job_runners.cli.target import Target


@options.command()
@click.argument("job_ids", nargs=-1, required=True)
@click.option("--members", is_flag=True, help="Also cancel the members of the jobs' groups.")
def command(target: Target, job_ids: tuple[str, ...], members: bool) -> Exit:
    """Cancel jobs. A job that isn't running is canceled at once. A running job stops when it next
    saves a checkpoint, or when its Lambda invocation or its attempt ends. With --members, a job
    that waits for a group is canceled once all members have ended."""

    def cancel(job_id: str) -> tuple[dict[str, object], str]:
        job = target.printable(target.api.cancel(job_id, members=members))
        if job["status"] == "canceled":
            return job, output.colored_status("canceled")
        if job["status"] == "waiting":
            return job, "is canceled once its members have ended"
        return job, "asked to stop; if it finishes before its next checkpoint, it succeeds"

    return for_each_job(target, job_ids, cancel)
