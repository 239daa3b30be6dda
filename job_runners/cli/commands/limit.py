"""jobs limit: how many jobs of a queue run at once, and how fast they start."""

import re
from typing import Any

import click

from job_runners.cli import output
from job_runners.cli.commands.queues import limits_in_words
from job_runners.cli.known import note_unknown_queue
from job_runners.cli.options import command as jobs_command
from job_runners.cli.target import Target
from job_runners.cli.times import seconds
from job_runners.queue_models import Rate

_RATE = re.compile(r"(\d+)/(\d*(?:\.\d+)?[smhd]?)")


def _rate(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> tuple[int, float] | None:
    """30/60s, 30/m, 5/s."""
    if value is None:
        return None
    match = _RATE.fullmatch(value)
    if not match or not match[2]:
        raise click.BadParameter(f"{value!r} is not a rate: write 30/60s, 30/m or 5/s")
    period = match[2] if match[2][0].isdigit() else f"1{match[2]}"
    return int(match[1]), seconds(ctx, param, period) or 0.0


@jobs_command()
@click.argument("name")
@click.option(
    "--slots",
    type=click.IntRange(1, 100),
    help="How many run at once, for each key (value of `per`).",
)
@click.option(
    "--rate", metavar="N/TIME", callback=_rate, help="Starts in a time, for each key: 30/60s, 5/s."
)
@click.option("--burst", type=click.IntRange(1), help="With --rate: so many of them at once.")
@click.option(
    "--max-waiting",
    type=click.IntRange(1),
    help="How many may wait, for each key, before a dispatch is refused.",
)
@click.option("--reset", is_flag=True, help="Have the limits that the code declares again.")
def command(
    target: Target,
    name: str,
    slots: int | None,
    rate: tuple[int, float] | None,
    burst: int | None,
    max_waiting: int | None,
    reset: bool,
) -> None:
    """Limit a queue, whether the code declares it or not, within 10 seconds. What is not given is
    as the code has it, whatever an earlier `jobs limit` said. What runs goes on.

    \b
    jobs limit imports --slots 3
    jobs limit imports --rate 30/60s --max-waiting 500
    jobs limit imports --reset
    """
    given: dict[str, Any] = {"slots": slots, "max_waiting": max_waiting}
    if burst is not None and rate is None:
        raise click.UsageError("--burst is of a rate: give --rate too")
    if rate is not None:
        given["rate"] = Rate(*rate, burst=burst or 1)
    given = {each: value for each, value in given.items() if value is not None}
    if bool(given) == reset:
        raise click.UsageError("What? Give --slots, --rate or --max-waiting; or --reset alone")
    if reset:
        target.api.reset_queue(name)
        queue = target.api.queue(name)
    else:
        queue = target.api.limit_queue(name, **given)
        note_unknown_queue(target, name, "only jobs that are dispatched to it by name are limited")
    if target.json:
        output.print_json(queue)
    else:
        verb = "Reset" if reset else "Limited"
        limits = limits_in_words(queue["limits"])
        click.echo(output.plain(f"{verb}: queue {name}, limits: {limits}, on {target.name}"))
