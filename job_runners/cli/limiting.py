"""job-runners queues limit: set how many of a queue's jobs run at once, and how fast they start."""

import re
from typing import Any

import click

from job_runners.cli import options, output
from job_runners.cli.known import warn_of_unknown_queue
from job_runners.cli.target import Target
from job_runners.cli.times import parse_time_span
from job_runners.client.queue_models import Rate

# The limit of a queue that the code doesn't declare. job_runners.store.limits.Limits has it too.
DEFAULT_MAX_WAITING = 10_000

_RATE = re.compile(r"(?P<count>\d+)/(?P<period>\d*(?:\.\d+)?[smhd]?)")
_OPTION_BY_LIMIT = {"slots": "--slots", "rate": "--rate", "max_waiting": "--max-waiting"}


def _parse_rate(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> tuple[int, float] | None:
    """Return the count and the period, in seconds, of a rate such as 30/60s, 30/m or 5/s."""
    if value is None:
        return None
    match = _RATE.fullmatch(value)
    if not match or not match["period"]:
        raise click.BadParameter(f"{value!r} is not a rate. Write it as 30/60s, 30/m or 5/s.")
    period = match["period"]
    if not period[0].isdigit():  # 30/m means 30/1m
        period = f"1{period}"
    return int(match["count"]), parse_time_span(ctx, param, period) or 0.0


@options.command()
@click.argument("name")
@click.option(
    "--slots",
    type=click.IntRange(1, 100),
    help="Number of jobs that may run at once, per key.",
)
@click.option(
    "--rate",
    metavar="N/TIME",
    callback=_parse_rate,
    help="Starts per period, per key, such as 30/60s or 5/s.",
)
@click.option(
    "--burst",
    type=click.IntRange(1),
    help="Number of starts allowed at once (with --rate; default 1).",
)
@click.option(
    "--max-waiting",
    type=click.IntRange(1),
    help="Number of waiting jobs, per key, at which dispatches are refused.",
)
@click.option("--reset", is_flag=True, help="Reset all limits to those in the code.")
def limit(
    target: Target,
    name: str,
    slots: int | None,
    rate: tuple[int, float] | None,
    burst: int | None,
    max_waiting: int | None,
    reset: bool,
) -> None:
    """Set the limits of any queue, even one that the code doesn't declare.

    Limits apply to each key separately. A key is one value of the field by which the queue is
    divided (`per` in the code), such as an organization.

    A change takes effect within 10 seconds. Limits that you omit keep the values that an earlier
    `job-runners queues limit` has set, or otherwise those in the code. Running jobs continue.

    \b
    job-runners queues limit imports --slots 3
    job-runners queues limit imports --rate 30/60s --max-waiting 500
    job-runners queues limit imports --reset
    """
    if burst is not None and rate is None:
        raise click.UsageError("--burst applies to a rate. Pass --rate too.")
    new_limits: dict[str, Any] = {}
    if slots is not None:
        new_limits["slots"] = slots
    if max_waiting is not None:
        new_limits["max_waiting"] = max_waiting
    if rate is not None:
        new_limits["rate"] = Rate(*rate, burst=burst or 1)
    if bool(new_limits) == reset:  # the user passed both a limit and --reset, or neither
        raise click.UsageError("Pass --slots, --rate or --max-waiting, or --reset alone.")
    kept_limits: dict[str, Any] = {}
    if reset:
        target.api.reset_queue(name)
        queue = target.printable(target.api.queue(name))
    else:
        # The API replaces all limits at once, so send earlier changes again to keep them.
        kept_limits = _changed_limits(target.printable(target.api.queue(name)))
        for limit_name in new_limits:
            kept_limits.pop(limit_name, None)
        queue = target.printable(target.api.limit_queue(name, **kept_limits, **new_limits))
        warn_of_unknown_queue(
            target, name, "the limits apply only to jobs dispatched to it by name"
        )
    if target.json:
        output.print_json(queue)
        return
    verb = "Reset" if reset else "Limited"
    limits = limits_in_words(queue["limits"])
    click.echo(output.plain(f"{verb}: queue {name}, limits: {limits}, on {target.name}"))
    if kept_limits:
        kept = " and ".join(_OPTION_BY_LIMIT[limit_name] for limit_name in kept_limits)
        click.echo(f"Kept {kept} from an earlier change. --reset drops all changes.", err=True)


def limits_in_words(limits: dict[str, Any] | None) -> str:
    """Describe a queue's limits."""
    if limits is None:
        return "none"
    return str(limits["words"])


def _changed_limits(queue: dict[str, Any]) -> dict[str, Any]:
    """Return the current limits that differ from those in the code, by name.

    An earlier call of this command has changed them.
    """
    if queue["changed_at"] is None:
        return {}
    current = queue["limits"] or {}
    declared = queue["declared_limits"] or {"max_waiting": DEFAULT_MAX_WAITING}
    changed = {
        name: current[name]
        for name in _OPTION_BY_LIMIT
        if current.get(name) and current[name] != declared.get(name)
    }
    if "rate" in changed:
        changed["rate"] = Rate(**changed["rate"])
    return changed
