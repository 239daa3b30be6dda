"""job-runners queues: show and limit queues.

A queue may be divided by a field, such as the organization. Each value of the field is a key, and
the queue's limits apply to each key separately. A key has slots, which running jobs hold.
"""

from itertools import islice
from typing import Any

import click

from job_runners.cli import options, output
from job_runners.cli.known import check_queue
from job_runners.cli.limiting import limit, limits_in_words
from job_runners.cli.target import Target

_HEADINGS = ("QUEUE", "KEY OR TYPE", "IN USE", "WAITING", "OLDEST WAIT", "LAST START", "", "LIMITS")


@options.group
def command() -> None:
    """Show and limit queues. Without a subcommand, list the queues.

    A key is one value of the field by which the queue is divided (`per` in the code), such as an
    organization. "*" is the key of a queue that isn't divided, and of jobs without such a value.
    """


@options.command(name="list")
@click.option(
    "--limit",
    "max_count",
    type=click.IntRange(1, 10_000),
    default=100,
    help="Number of queues to show (default 100).",
)
def list_queues(target: Target, max_count: int) -> None:
    """Show the limits of each queue. For the first of its keys in use, also show the slots in use,
    the number of waiting jobs, the longest wait and the last start.

    Jobs that wait for a worker, and running jobs of queues without limits, are counted by job
    type, from at most 1,000 jobs of the stack.
    If none of a type runs, its last start is the latest among jobs created near the oldest one.
    """
    queues = list(map(target.printable, islice(target.api.queues(), max_count)))
    backlog = target.printable(target.api.backlog())
    if target.json:
        output.print_json({"queues": queues, "backlog": backlog})
        return
    output.print_table(_HEADINGS, [row for queue in queues for row in _rows(queue, backlog)])
    if backlog["more"]:
        click.echo("Over 1,000 jobs run or wait for a worker. Only 1,000 were counted.", err=True)


@options.command()
@click.argument("name")
@click.option(
    "--limit",
    "max_count",
    type=click.IntRange(1, 10_000),
    default=100,
    help="Number of keys to show (default 100).",
)
def show(target: Target, name: str, max_count: int) -> None:
    """Show a queue's limits, keys in use, jobs with slots, and the jobs that no worker has met."""
    queue = target.printable(target.api.queue(name))
    keys = list(map(target.printable, islice(target.api.concurrency_keys(name), max_count)))
    backlog = target.printable(target.api.backlog())
    jobs = [each for each in backlog["jobs"] if each["queue_name"] == name and each["waiting"]]
    settings = (queue["limits"], queue["declared_limits"], queue["changed_at"], queue["paused"])
    # The API returns no error for an unknown name, because a queue may have any name.
    if not keys and not jobs and not any(settings):
        check_queue(target, name)
    if target.json:
        output.print_json({**queue, "keys": keys, "backlog": {**backlog, "jobs": jobs}})
        return
    output.print_details(_details(queue))
    types = [{**each, "key": each["job_type"], "more_waiting": backlog["more"]} for each in jobs]
    for key in [*keys, *types]:
        _print_key(key)


for subcommand in (list_queues, show, limit):
    command.add_command(subcommand)


def _print_key(key: dict[str, Any]) -> None:
    click.echo(f"\n{click.style(output.plain(key['key']), bold=True)}")
    waiting = waiting_in_words(key)
    if key["waiting"]:
        waiting += f", since {output.time_and_age(key['oldest_waiting_since'])}"
    click.echo(f"  waiting      {waiting}")
    if key.get("next_start_at"):
        click.echo(f"  next start   {output.time_and_age(key['next_start_at'])}")
    for holder in key.get("holders", []):
        organization = output.plain(holder["organization_id"] or "")
        since = output.time_and_age(holder["since"])
        click.echo(f"  in use by    {output.short_id(holder['job_id'])}  {organization}  {since}")


def _details(queue: dict[str, Any]) -> list[tuple[str, str]]:
    changed = ""
    if queue["changed_at"]:
        time = output.time_and_age(queue["changed_at"])
        changed = f"{time} by {queue['changed_by'] or 'unknown'}"
    pause = queue["paused"]
    return [
        ("queue", queue["name"]),
        ("limits", limits_in_words(queue["limits"])),
        ("in code", limits_in_words(queue["declared_limits"])),
        ("changed", changed),
        ("paused", _pause_in_words(pause) if pause else ""),
    ]


def _rows(queue: dict[str, Any], backlog: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return a queue's rows in the table.

    There is one for each key in use, and one for each job type with jobs that wait for a worker
    or, if the queue has no limits, run. If there is none of either, return one for the queue.

    `backlog` has the counts by queue and job type.
    """
    limits, name = queue["limits"], queue["name"]
    usages = [
        (key["key"], _slots_in_words(key, limits), waiting_in_words(key), key)
        for key in queue["keys"]
    ]
    at_least = "at least " if backlog["more"] else ""
    usages += [
        (
            counts["job_type"],
            "" if limits else f"{at_least}{counts['running']}",
            f"{at_least}{counts['waiting']}",
            counts,
        )
        for counts in backlog["jobs"]
        if counts["queue_name"] == name
        # A key's row has the running jobs, but no job that no worker has met yet.
        and (counts["waiting"] or (counts["running"] and not limits))
    ]
    about_queue = (_state(queue), limits_in_words(limits))
    rows: list[tuple[str, ...]] = [
        (
            *(name, key_or_type, in_use, waiting),
            output.relative_time(counts["oldest_waiting_since"]),
            output.relative_time(counts["last_started_at"]),
            *about_queue,
        )
        for key_or_type, in_use, waiting, counts in usages
    ] or [(name, "", "", "", "", "", *about_queue)]
    if queue["keys_cursor"]:
        rows.append((name, "and more", "", "", "", "", f"job-runners queues show {name}", ""))
    return rows


def _slots_in_words(key: dict[str, Any], limits: dict[str, Any] | None) -> str:
    slots = limits["slots"] if limits else None
    return f"{key['slots_in_use']} of {slots}" if slots else str(key["slots_in_use"])


def _state(queue: dict[str, Any]) -> str:
    parts = []
    if queue["paused"]:
        parts.append(f"paused {_pause_in_words(queue['paused'])}")
    if queue["changed_at"]:
        parts.append(f"changed {output.relative_time(queue['changed_at'])}")
    return ", ".join(parts)


def _pause_in_words(pause: dict[str, Any]) -> str:
    age = output.relative_time(pause["paused_at"])
    return f"{age}, {waiting_in_words(pause)} wait" if pause["waiting"] else age


def waiting_in_words(entry: dict[str, Any]) -> str:
    """Return the number of jobs that wait for a key or a pause, or "" if the API doesn't count
    them."""
    if entry.get("waiting") is None:
        return ""
    return f"at least {entry['waiting']}" if entry["more_waiting"] else str(entry["waiting"])
