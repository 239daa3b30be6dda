"""job-runners queues: show and limit queues."""

from itertools import islice
from typing import Any

import click

from job_runners.cli import options, output
from job_runners.cli.known import check_queue
from job_runners.cli.limiting import limit, limits_in_words
from job_runners.cli.target import Target

_HEADINGS = ("QUEUE", "KEY OR TYPE", "IN USE", "WAITING", "OLDEST WAIT", "LAST START", "", "LIMITS")


@options.group(lists=True)
def command() -> None:
    """Show and limit queues. Without a subcommand, list the queues.

    A key is one value of the field by which the queue is divided (`per` in the code), such as an
    organization. "*" is the key of a queue that isn't divided, and of jobs without such a value.
    """


@options.command(name="list")
@click.option(
    "--limit",
    "most",
    type=click.IntRange(1, 10_000),
    default=100,
    help="Number of queues to show (default 100).",
)
def list_queues(target: Target, most: int) -> None:
    """Show the limits of each queue. For the first of its keys in use, also show the slots in use,
    the number of waiting jobs, the longest wait and the last start.

    Jobs of queues without limits are counted by job type, from at most 1,000 jobs of the stack.
    If none of a type runs, its last start is the latest among jobs created near the oldest one.
    """
    found = list(map(target.shown, islice(target.api.queues(), most)))
    backlog = target.shown(target.api.backlog())
    if target.json:
        output.print_json({"queues": found, "backlog": backlog})
        return
    output.table(_HEADINGS, [row for queue in found for row in _rows(queue, backlog)])
    if backlog["more"]:
        click.echo("Over 1,000 jobs run or wait for a worker. Only 1,000 were counted.", err=True)


@options.command()
@click.argument("name")
@click.option(
    "--limit",
    "most",
    type=click.IntRange(1, 10_000),
    default=100,
    help="Number of keys to show (default 100).",
)
def show(target: Target, name: str, most: int) -> None:
    """Show a queue's limits, its keys that are in use, and the jobs that have slots."""
    queue = target.shown(target.api.queue(name))
    keys = list(map(target.shown, islice(target.api.concurrency_keys(name), most)))
    facts = (queue["limits"], queue["declared_limits"], queue["changed_at"], queue["paused"])
    # The API accepts any name, because a job can be dispatched to a queue of any name.
    if not keys and not any(facts):
        check_queue(target, name)
    if target.json:
        output.print_json({**queue, "keys": keys})
        return
    output.print_facts(_facts(queue))
    for each in keys:
        click.echo(f"\n{click.style(output.plain(each['key']), bold=True)}")
        waits = f", since {output.when(each['oldest_waiting_since'])}" if each["waiting"] else ""
        click.echo(f"  waiting      {waiting_in_words(each)}{waits}")
        if each["next_start_at"]:
            click.echo(f"  next start   {output.when(each['next_start_at'])}")
        for holder in each["holders"]:
            whose = output.plain(holder["organization_id"] or "")
            since = output.when(holder["since"])
            click.echo(f"  in use by    {output.short(holder['job_id'])}  {whose}  {since}")


for _each in (list_queues, show, limit):
    command.add_command(_each)


def _facts(queue: dict[str, Any]) -> list[tuple[str, str]]:
    changed = f"{output.when(queue['changed_at'])} by {queue['changed_by'] or 'unknown'}"
    paused = queue["paused"]
    return [
        ("queue", queue["name"]),
        ("limits", limits_in_words(queue["limits"])),
        ("in code", limits_in_words(queue["declared_limits"])),
        ("changed", changed if queue["changed_at"] else ""),
        ("paused", _pause_in_words(paused) if paused else ""),
    ]


def _rows(queue: dict[str, Any], backlog: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return a row for each key in use, or for each job type of a queue without keys in use. If
    there are none, return one row for the queue."""
    limits = queue["limits"]
    words = limits_in_words(limits)
    rows: list[tuple[str, ...]] = [
        (
            queue["name"],
            each["key"],
            _in_use(each, limits),
            waiting_in_words(each),
            output.ago(each["oldest_waiting_since"]),
            output.ago(each["last_started_at"]),
            _state(queue),
            words,
        )
        for each in queue["keys"]
    ]
    at_least = "at least " if backlog["more"] else ""
    if not limits:
        rows += [
            (
                queue["name"],
                each["job_type"],
                f"{at_least}{each['running']}",
                f"{at_least}{each['waiting']}",
                output.ago(each["oldest_waiting_since"]),
                output.ago(each["last_started_at"]),
                _state(queue),
                words,
            )
            for each in backlog["jobs"]
            if each["queue_name"] == queue["name"] and (each["waiting"] or each["running"])
        ]
    rows = rows or [(queue["name"], "", "", "", "", "", _state(queue), words)]
    if queue["keys_cursor"]:
        more = f"job-runners queues show {queue['name']}"
        rows.append((queue["name"], "and more", *[""] * 4, more, ""))
    return rows


def _in_use(key: dict[str, Any], limits: dict[str, Any] | None) -> str:
    slots = limits and limits["slots"]
    return f"{key['slots_in_use']} of {slots}" if slots else str(key["slots_in_use"])


def _state(queue: dict[str, Any]) -> str:
    paused, changed = queue["paused"], queue["changed_at"]
    words = [
        f"paused {_pause_in_words(paused)}" if paused else "",
        f"changed {output.ago(changed)}" if changed else "",
    ]
    return ", ".join(filter(None, words))


def _pause_in_words(paused: dict[str, Any]) -> str:
    waiting = waiting_in_words(paused)
    return output.ago(paused["paused_at"]) + (f", {waiting} wait" if waiting else "")


def waiting_in_words(found: dict[str, Any]) -> str:
    """Return the number of jobs that wait in a queue or under a pause, or "" if it isn't known."""
    if found.get("waiting") is None:
        return ""
    return f"over {found['waiting']}" if found["more_waiting"] else str(found["waiting"])
