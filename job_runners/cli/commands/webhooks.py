"""job-runners webhooks: manage the webhooks that get an event when a job ends."""

from typing import Any

import click

from job_runners.cli import options
from job_runners.cli.completion import names_of, webhook_names
from job_runners.cli.for_each_job import confirm
from job_runners.cli.listing import print_dispatched, print_done, print_list
from job_runners.cli.target import Target

_HEADINGS = ("WEBHOOK", "URL", "SECRET", "STATUSES", "JOB TYPES")
_NO_WEBHOOKS = "No webhooks of {}. To subscribe one, see job-runners webhooks put --help."
_STATUSES = ("succeeded", "failed", "canceled")


@options.group
def command() -> None:
    """Subscribe webhooks, which get an event when a job has ended. Without a subcommand, list
    them."""


@options.command(name="list")
def list_webhooks(target: Target) -> None:
    """List webhooks with the ends that they get."""
    webhooks = target.api.webhooks()
    if_empty = _NO_WEBHOOKS.format(target.organization_in_words)
    print_list(target, "webhooks", webhooks, _HEADINGS, _row, if_empty=if_empty)


@options.command()
@click.argument("name", shell_complete=webhook_names)
@click.argument("url")
@click.option(
    "--secret",
    metavar="NAME",
    required=True,
    help="Name of the signing secret, such as acme/main.",
)
@click.option(
    "--status",
    "statuses",
    type=click.Choice(_STATUSES),
    multiple=True,
    help="Outcome of a job for which it is called (default all). Repeat it for more.",
)
@click.option(
    "--type",
    "job_types",
    metavar="NAME",
    multiple=True,
    shell_complete=names_of("jobs"),
    help="Job type for which it is called (default all). Repeat it for more.",
)
def put(
    target: Target,
    name: str,
    url: str,
    secret: str,
    **filters: tuple[str, ...],  # statuses and job_types
) -> None:
    """Subscribe a webhook, or replace it. It is called for jobs that are dispatched later.

    \b
    job-runners webhooks put pager https://hooks.example.com/jobs --secret acme/main --status failed
    """
    given_filters: dict[str, Any] = {kind: values for kind, values in filters.items() if values}
    webhook = target.api.put_webhook(name, url, secret, **given_filters)
    print_done(target, target.printable(webhook), f"Put: webhook {name}")


@options.command()
@click.argument("name", shell_complete=webhook_names)
@click.option("--yes", is_flag=True, help="Don't ask for confirmation.")
def delete(target: Target, name: str, yes: bool) -> None:
    """Delete a webhook. Events that it has not accepted yet are not sent again."""
    confirm(f"Delete the webhook {name} on {target.name}?", yes=yes)
    target.api.delete_webhook(name)
    print_done(target, {"name": name, "deleted": True}, f"Deleted: webhook {name}")


@options.command()
@click.argument("name", shell_complete=webhook_names)
def test(target: Target, name: str) -> None:
    """Send a test event to a webhook. Print the id of the job that delivers it."""
    job = target.printable(target.api.test_webhook(name))
    text = f"A test of webhook {name} was dispatched (job-runners watch {job['id'][:8]})"
    print_dispatched(target, job, text)


for subcommand in (list_webhooks, put, delete, test):
    command.add_command(subcommand)


def _row(webhook: dict[str, Any]) -> tuple[str, ...]:
    statuses = ", ".join(webhook["statuses"] or ["all"])
    job_types = ", ".join(webhook["job_types"] or ["all"])
    return webhook["name"], webhook["url"], webhook["secret"], statuses, job_types
