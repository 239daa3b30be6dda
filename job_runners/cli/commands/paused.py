"""job-runners paused: list the paused job types and queues."""

from typing import Any

from job_runners.cli import output
from job_runners.cli.commands.queues import waiting_in_words
from job_runners.cli.listing import print_list
from job_runners.cli.options import command as jobs_command
from job_runners.cli.target import Target


@jobs_command()
def command(target: Target) -> None:
    """List paused job types and queues, when each was paused, and how many jobs wait for its end.

    Only services see the number of jobs, because it includes those of all organizations.
    """
    if_empty = f"Nothing is paused on {target.name}."
    headings = ("KIND", "NAME", "PAUSED", "WAITING")
    print_list(
        target,
        "paused",
        target.api.paused(),
        headings,
        _row,
        if_empty=if_empty,
    )


def _row(entry: dict[str, Any]) -> tuple[str, ...]:
    kind = entry["kind"].replace("_", " ")
    return kind, entry["name"], output.when(entry["paused_at"]), waiting_in_words(entry)
