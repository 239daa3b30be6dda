"""job-runners task: send a task by its name and payload."""

import click

from job_runners.cli import options, payload
from job_runners.cli.completion import names_of
from job_runners.cli.listing import print_dispatched
from job_runners.cli.target import Target


@options.command(epilog=payload.HELP)
@click.argument("task_name", shell_complete=names_of("tasks"))
@click.argument("pairs", nargs=-1, metavar="[KEY=VALUE | KEY:=JSON]...")
@click.option("--payload", "payload_option", metavar="JSON", help=payload.OPTION_HELP)
def command(
    target: Target, task_name: str, pairs: tuple[str, ...], payload_option: str | None
) -> None:
    """Send a task and print its id for `job-runners logs`. A task may be lost or delivered twice.
    Use a job if that matters.

    \b
    job-runners task send_message cell=+12125550123 text="Polls close at 8."
    """
    task_payload = payload.read_payload(pairs, payload_option)
    with payload.add_hint_if_invalid(task_name, pairs):
        task_id = target.api.dispatch_task(task_name, task_payload)
    result = {"id": task_id, "task_name": task_name, "status": "sent"}
    print_dispatched(target, result, f"{task_name} sent")
