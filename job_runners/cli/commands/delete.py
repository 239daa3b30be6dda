"""job-runners delete: delete finished jobs."""

import click

from job_runners.cli import options
from job_runners.cli.for_each_job import confirm, for_each_job
from job_runners.cli.problem import Exit
from job_runners.cli.target import Target


@options.command()
@click.argument("job_ids", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Don't ask for confirmation.")
def command(target: Target, job_ids: tuple[str, ...], yes: bool) -> Exit:
    """Delete finished jobs with their payloads, results and files. The API can't restore them. An
    administrator can restore their files for a week, or for the days in DeletedFileDays."""
    what = "this job" if len(job_ids) == 1 else f"these {len(job_ids)} jobs"
    confirm(f"Delete {what} on {target.name}?", yes=yes)

    def delete(job_id: str) -> tuple[dict[str, object], str]:
        target.api.delete(job_id)
        return {"id": job_id, "deleted": True}, "deleted"

    return for_each_job(target, job_ids, delete)
