"""jobs erase: erase an organization from a stack."""

import sys

import click

from job_runners.cli import output
from job_runners.cli.erasing.organization import MAX_LISTED, Found, Organization
from job_runners.cli.for_each_job import require_terminal
from job_runners.cli.options import command as jobs_command
from job_runners.cli.problem import Problem
from job_runners.cli.target import Target
from job_runners.places import COMMAND


@jobs_command()
@click.option("--yes", is_flag=True, help="Don't ask you to type the organization's name.")
def command(target: Target, yes: bool) -> None:
    """Erase an organization permanently: schedules, jobs with payloads, results and steps, files in
    all versions, contacts, and its name in queue records.

    Refused while any of its jobs is unfinished. Block its callers first. If interrupted, run it
    again. Uses your AWS credentials, not the API: see docs/erasing.md for permissions and for what
    remains elsewhere.

    \b
    jobs erase --organization acme
    """
    if "organization" not in target.explicit or not target.organization:
        raise click.UsageError(
            "Pass --organization ID on the command line. JOBS_ORGANIZATION doesn't count here."
        )
    # With / or #, the name could lead to another organization's folder or records.
    if not {"/", "#"}.isdisjoint(target.organization):
        raise click.UsageError(
            f"{target.organization!r} isn't an organization, because it contains # or /."
        )
    organization = Organization(
        target.organization, target.stack, target.client("dynamodb"), target.client("s3")
    )
    found = organization.look()
    _refuse_unfinished(organization.name, found)
    where = f"stack {target.stack.name}" if not target.stack.is_local else "the local AWS"
    if not yes:
        _confirm(organization.name, found, where)
    removed = organization.erase(_show_progress)
    _refuse_unfinished(organization.name, found, removed_jobs=removed["jobs"])
    if target.json:
        output.print_json({"organization_id": organization.name, "removed": dict(removed)})
        return
    parts = [f"{what} {count:,}" for what, count in removed.items() if count]
    what = output.plain(", ".join(parts) or "nothing was left")
    click.echo(f"Erased {output.plain(organization.name)} from {where}: {what}.")
    click.echo("docs/erasing.md lists what remains elsewhere, and for how long.", err=True)


def _refuse_unfinished(name: str, found: Found, removed_jobs: int = 0) -> None:
    if not found.unfinished:
        return
    listed_jobs = found.unfinished[:MAX_LISTED]
    if len(found.unfinished) > MAX_LISTED:
        listed_jobs.append("and more")
    already_removed = f" ({removed_jobs:,} jobs were already removed)" if removed_jobs else ""
    lines = "\n".join(f"  {each}" for each in listed_jobs)
    raise Problem(
        f"{name} has unfinished jobs{already_removed}:\n{lines}",
        hint=f"Block its callers. Wait for these jobs or cancel them ({COMMAND} cancel ID). Then "
        "run the command again.",
    )


def _confirm(name: str, found: Found, where: str) -> None:
    campaigns = f", the contacts of {len(found.campaigns)} campaigns" if found.campaigns else ""
    question = f"Erase {name} from {where}: {found.jobs:,} jobs{campaigns}, all its files?"
    require_terminal(question)
    click.echo(output.plain(question), err=True)
    typed = click.prompt("Type its name", err=True, default="", show_default=False)
    if typed != name:
        raise Problem("The name doesn't match. Nothing was removed.")


def _show_progress(jobs: int) -> None:
    if sys.stderr.isatty():
        click.echo(f"{jobs:,} jobs removed", err=True)
