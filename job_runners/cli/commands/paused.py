"""jobs paused: list the paused job types and queues."""

from typing import Any

from job_runners.cli import output
from job_runners.cli.listing import print_list
from job_runners.cli.options import command as jobs_command
from job_runners.cli.target import Target


@jobs_command()
def command(target: Target) -> None:
    """List paused job types and queues, and when each was paused."""
    if_empty = f"Nothing is paused on {target.name}."
    headings = ("KIND", "NAME", "PAUSED")
    print_list(target, "paused", target.api.paused(), headings, _row, if_empty=if_empty)


def _row(entry: dict[str, Any]) -> tuple[str, ...]:
    return entry["kind"].replace("_", " "), entry["name"], output.when(entry["paused_at"])
