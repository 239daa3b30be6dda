"""jobs erase: all that a stack keeps of one organisation, removed."""

import sys

import click

from job_runners.cli import output
from job_runners.cli.erasing.organization import NAMED, Found, Organization
from job_runners.cli.options import command as jobs_command
from job_runners.cli.problem import Problem
from job_runners.cli.target import Target


@jobs_command()
@click.option(
    "--campaign",
    "campaigns",
    multiple=True,
    metavar="ID",
    help="A campaign whose contacts were imported by a version before 0.2.0, and whose jobs have "
    "expired. Can be given several times.",
)
@click.option("--yes", is_flag=True, help="Don't ask for the organisation's name.")
def command(target: Target, campaigns: tuple[str, ...], yes: bool) -> None:
    """Remove an organisation from a stack for good: its schedules, its jobs with their payloads,
    results and steps, its files with all their versions, its contacts, and its name in the records
    of queues.

    It is refused while a job of it is not finished. Keep its callers away first. If it is cut off,
    run it again. It uses your AWS credentials, not the API: docs/erasing.md has the permissions
    that it needs, and what remains elsewhere for how long.

    \b
    jobs erase --organization acme
    """
    if "organization" not in target.explicit or not target.organization:
        raise click.UsageError("Which one? Name it on the command line: --organization ID")
    if not {"/", "#"}.isdisjoint(target.organization):  # else it would name another's folder
        raise click.UsageError(f"{target.organization!r} can't be an organisation: it has # or /")
    organization = Organization(
        target.organization, target.stack, target.client("dynamodb"), target.client("s3")
    )
    found = organization.look()
    found.campaigns.update(campaigns)
    _refuse_unfinished(organization.name, found)
    where = f"stack {target.stack.name}" if not target.stack.is_local else "the local AWS"
    if not yes:
        _confirm(organization.name, found, where)
    removed = organization.erase(_show)
    _refuse_unfinished(organization.name, found, removed_jobs=removed["jobs"])
    if target.json:
        output.print_json({"organization_id": organization.name, "removed": dict(removed)})
        return
    parts = [f"{what} {count:,}" for what, count in removed.items() if count]
    what = output.plain(", ".join(parts) or "nothing was left")
    click.echo(f"Erased {output.plain(organization.name)} from {where}: {what}.")
    click.echo("What remains elsewhere, and for how long: docs/erasing.md", err=True)


def _refuse_unfinished(name: str, found: Found, removed_jobs: int = 0) -> None:
    if not found.unfinished:
        return
    named = found.unfinished[:NAMED]
    if len(found.unfinished) > NAMED:
        named.append("and more")
    since = f" Until then {removed_jobs:,} were removed." if removed_jobs else ""
    listed = "\n".join(f"  {each}" for each in named)
    raise Problem(
        f"{name} has jobs that are not finished:{since}\n{listed}",
        hint="Keep its callers away, wait for these or cancel them (jobs cancel ID), and run it "
        "again.",
    )


def _confirm(name: str, found: Found, where: str) -> None:
    campaigns = f", the contacts of {len(found.campaigns)} campaigns" if found.campaigns else ""
    question = f"Erase {name} from {where}: {found.jobs:,} jobs{campaigns}, all its files?"
    if not _answers():
        raise click.UsageError(f"{question} Nobody is here to answer: add --yes")
    click.echo(output.plain(question), err=True)
    typed = click.prompt("Type its name", err=True, default="", show_default=False)
    if typed != name:
        raise Problem("That is not its name: nothing was removed.")


def _answers() -> bool:
    return sys.stdin.isatty()


def _show(jobs: int) -> None:
    if sys.stderr.isatty():
        click.echo(f"{jobs:,} jobs removed", err=True)
