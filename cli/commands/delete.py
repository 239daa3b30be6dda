"""jobs delete: finished jobs, forgotten."""

import click

from cli.each import confirm, for_each
from cli.options import command as jobs_command
from cli.problem import Exit
from cli.where import Where


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
