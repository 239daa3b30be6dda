"""jobs delete: finished jobs, forgotten."""

import click

from job_runners.cli.each import confirm, for_each
from job_runners.cli.options import command as jobs_command
from job_runners.cli.problem import Exit
from job_runners.cli.where import Where


@jobs_command()
@click.argument("job_ids", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Don't ask.")
def command(where: Where, job_ids: tuple[str, ...], yes: bool) -> Exit:
    """Forget finished jobs, with their payloads, results and files. They can't be brought back."""
    what = "this job" if len(job_ids) == 1 else f"these {len(job_ids)} jobs"
    confirm(f"Delete {what} on {where.name}?", yes=yes)

    def delete(job_id: str) -> tuple[dict[str, object], str]:
        where.api.delete(job_id)
        return {"id": job_id, "deleted": True}, "deleted"

    return for_each(where, job_ids, delete)
