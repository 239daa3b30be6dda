"""job-runners pause: pause a job type or a queue, or list what is paused."""

from typing import Any

from job_runners.cli import options, output
from job_runners.cli.commands.queues import waiting_in_words
from job_runners.cli.known import warn_of_unknown_queue
from job_runners.cli.listing import print_done, print_list
from job_runners.cli.target import Target


@options.command()
@options.job_type_or_queue
def command(target: Target, kind: str, name: str | None) -> None:
    """Pause a job type, or with --queue a queue. New jobs are accepted and wait.

    After 10 seconds no job starts. A running job stops when it next saves a checkpoint with a
    cursor, and waits. A running job that saves no cursor runs to its end.

    Without a name, list paused job types and queues, when each was paused, and how many jobs wait
    for its end. Only services see the number of jobs, because it includes those of all
    organizations.
    """
    if name is None:
        if_empty = f"Nothing is paused on {target.name}."
        headings = ("KIND", "NAME", "PAUSED", "WAITING")
        print_list(target, "paused", target.api.paused(), headings, _row, if_empty=if_empty)
        return
    entry = target.printable(target.api.pause(kind, name))
    if kind == "queue":
        warn_of_unknown_queue(
            target, name, "the pause applies only to jobs dispatched to it by name"
        )
    print_done(target, entry, f"Paused: {kind.replace('_', ' ')} {name}")


def _row(entry: dict[str, Any]) -> tuple[str, ...]:
    kind = entry["kind"].replace("_", " ")
    return kind, entry["name"], output.time_and_age(entry["paused_at"]), waiting_in_words(entry)
