"""job-runners erase: erase an organization from a stack."""

import sys
from typing import TYPE_CHECKING

import click

from job_runners.cli import options, output, project_tools
from job_runners.cli.for_each_job import require_terminal
from job_runners.cli.problem import Problem
from job_runners.cli.target import Target

if TYPE_CHECKING:
    from job_runners.erasing.organization import Organization


@options.command()
@click.option("--yes", is_flag=True, help="Don't ask you to type the organization's name.")
def command(target: Target, yes: bool) -> None:
    """Erase an organization permanently: schedules, jobs with payloads, results and steps, files in
    all versions, and its name in queue records.

    Refused while any of its jobs is unfinished. Block its callers first. If interrupted, run it
    again. Uses your AWS credentials, not the API: see docs/operate/data.md for permissions and for
    what remains elsewhere.

    \b
    job-runners erase --organization acme
    """
    if "organization" not in target.explicit or not target.organization:
        raise click.UsageError(
            "Pass --organization ID on the command line. JOBS_ORGANIZATION doesn't count here."
        )
    # Paths and keys are joined with / and #, so such a name could match another organization's.
    if "/" in target.organization or "#" in target.organization:
        raise click.UsageError(
            f"{target.organization!r} isn't an organization, because it contains # or /."
        )
    project_tools.require_extra("engine")
    from job_runners.erasing.connection import client_errors
    from job_runners.erasing.files import NotDeleted
    from job_runners.erasing.organization import Organization

    _connect(target)
    organization = Organization(target.organization)
    try:
        with client_errors():
            job_count = organization.count_jobs()
            _refuse_unfinished(organization)
            if not yes:
                _confirm(organization.name, job_count, target.stack_in_words)
            removed = organization.erase(_show_progress)
    except NotDeleted as error:
        hint = "Fix this and run the command again, and it will continue."
        raise Problem(str(error), hint=hint) from None
    # A caller may have dispatched jobs during the removal.
    _refuse_unfinished(organization, removed_jobs=removed["jobs"])
    if target.json:
        output.print_json({"organization_id": organization.name, "removed": dict(removed)})
        return
    counts = [f"{kind} {count:,}" for kind, count in removed.items() if count]
    summary = output.plain(", ".join(counts) or "nothing was left")
    click.echo(f"Erased {output.plain(organization.name)} from {target.stack_in_words}: {summary}.")
    click.echo("docs/operate/data.md lists what remains elsewhere, and for how long.", err=True)


def _connect(target: Target) -> None:
    """Connect the store to the stack's tables and bucket, with the user's credentials."""
    from job_runners.erasing.connection import connect

    stack = target.stack
    environment = {
        "JOBS_TABLE_NAME": stack.table_name,
        "COORDINATION_TABLE_NAME": stack.coordination_table_name,
        "BUCKET_NAME": stack.bucket_name,
    }
    if stack.endpoint_url:
        environment["AWS_ENDPOINT_URL"] = stack.endpoint_url
    connect(target.stack_session, environment)


def _refuse_unfinished(organization: "Organization", removed_jobs: int = 0) -> None:
    from job_runners.erasing.organization import MAX_LISTED

    if not organization.unfinished:
        return
    listed_jobs = organization.unfinished[:MAX_LISTED]
    if len(organization.unfinished) > MAX_LISTED:
        listed_jobs.append("and more")
    already_removed = f" ({removed_jobs:,} jobs were already removed)" if removed_jobs else ""
    lines = "\n".join(f"  {job}" for job in listed_jobs)
    raise Problem(
        f"{organization.name} has unfinished jobs{already_removed}:\n{lines}",
        hint="Block its callers. Wait for these jobs or cancel them (job-runners cancel ID). Then "
        "run the command again.",
    )


def _confirm(name: str, job_count: int, stack_in_words: str) -> None:
    question = f"Erase {name} from {stack_in_words}: {job_count:,} jobs, all its files?"
    require_terminal(question)
    click.echo(output.plain(question), err=True)
    typed = click.prompt("Type its name", err=True, default="", show_default=False)
    if typed != name:
        raise Problem("The name doesn't match. Nothing was removed.")


def _show_progress(job_count: int) -> None:
    if sys.stderr.isatty():
        click.echo(f"{job_count:,} jobs removed", err=True)
