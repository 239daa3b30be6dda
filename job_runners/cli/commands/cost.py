"""job-runners cost: estimate the monthly AWS cost of jobs."""

import math
from pathlib import Path
from typing import Any

import click

from job_runners.cli import options, output
from job_runners.cli.cost_model import (
    LONGEST_INVOCATION,
    MONTH_SECONDS,
    Line,
    Prices,
    Workload,
    bill,
)
from job_runners.cli.problem import Problem
from job_runners.cli.target import Target
from job_runners.places import ROOT

_HEADINGS = ("WHAT", "QUANTITY", "PRICE", "DOLLARS", "WHY")
_SHARE = click.FloatRange(0, 1)


@options.command()
@click.option(
    "--jobs", type=click.FloatRange(1), required=True, help="Number of jobs, such as 1e6."
)
@click.option(
    "--per",
    type=click.Choice(["month", "day"]),
    default="month",
    help="Period of --jobs (default month).",
)
@click.option("--seconds", type=click.FloatRange(0), required=True, help="Seconds of work per job.")
@click.option(
    "--memory",
    "memory_mb",
    type=click.IntRange(128, 10_240),
    default=1024,
    help="Worker memory in MB (default 1024).",
)
@click.option("--worker", help="Take the memory of this worker class in the project's app.toml.")
@click.option(
    "--arch",
    "architecture",
    type=click.Choice(["arm64", "x86_64"]),
    default="arm64",
    help="Processor architecture of the functions (default arm64).",
)
@click.option(
    "--invocations", type=click.IntRange(1), default=1, help="Invocations per job (default 1)."
)
@click.option(
    "--checkpoints",
    type=click.FloatRange(0),
    default=0,
    help="Checkpoints per job that are written to the table (default 0).",
)
@click.option(
    "--steps", type=click.FloatRange(0), default=0, help="Steps per job (job.step; default 0)."
)
@click.option(
    "--payload",
    "payload_bytes",
    type=click.IntRange(0),
    default=100,
    help="Compressed payload bytes per job (default 100).",
)
@click.option(
    "--retried", type=_SHARE, default=0, help="Share of jobs that are retried once, such as 0.02."
)
@click.option(
    "--limits",
    "limited",
    type=click.Choice(["slots", "rate", "both"]),
    help="Limits of the jobs' queue.",
)
@click.option("--waiting", type=_SHARE, default=0, help="Share of jobs that wait (with --limits).")
@click.option("--quota", is_flag=True, help="Include the cost of a quota for unfinished jobs.")
@click.option("--unique", is_flag=True, help="The jobs have a unique rule.")
@click.option(
    "--recurring", is_flag=True, help="The jobs are dispatched by schedules, not over HTTP."
)
@click.option(
    "--no-http", is_flag=True, help="The jobs are dispatched by other jobs, not over HTTP."
)
@click.option(
    "--types", type=click.IntRange(1), default=1, help="Number of job types (each has metrics)."
)
@click.option(
    "--retention-days",
    type=click.FloatRange(1),
    default=30,
    help="Days for which finished jobs are kept (default 30).",
)
@click.option(
    "--prices",
    "file",
    type=click.Path(path_type=Path),
    help="File with other prices (default: built-in prices).",
)
def command(
    target: Target, jobs: float, per: str, no_http: bool, file: Path | None, **given: Any
) -> None:
    """Estimate what jobs cost on AWS, with the formula of each line. Doesn't call a stack.

    Excludes the free tier, volume discounts, data transfer, the AWS usage of your own code, and the
    NAT gateway or endpoints of a VPC. See docs/operate/scale.md for assumptions.

    \b
    job-runners cost --jobs 1e6 --seconds 2
    job-runners cost --jobs 1e8 --per day --seconds 2 --memory 512
    job-runners cost --jobs 5e5 --seconds 0.3 --limits slots --waiting 0.5
    """
    if given["waiting"] and given["limited"] is None:
        raise click.UsageError("--waiting applies to a queue with limits. Pass --limits too.")
    minimum = math.ceil(given["seconds"] / LONGEST_INVOCATION)
    if given["invocations"] < minimum:
        raise click.UsageError(
            f"Lambda ends an invocation after {LONGEST_INVOCATION} s. "
            f"Pass --invocations {minimum} or more."
        )
    if worker := given.pop("worker"):
        given["memory_mb"] = _memory_of(worker, given["memory_mb"])
    prices = _prices(file)
    over_http = not (no_http or given["recurring"])
    work = Workload(jobs=jobs * (30 if per == "day" else 1), over_http=over_http, **given)
    lines = bill(work)
    total = sum(line.dollars(prices) for line in lines)
    if target.json:
        output.print_json(_as_json(work, lines, prices, total))
        return
    output.table(_HEADINGS, [_row(line, prices) for line in lines])
    click.echo(
        f"\n${total:,.2f} a month for {work.jobs:,.0f} jobs: ${total / work.jobs * 1e6:,.2f} a "
        f"million. Prices of {prices.region} on {prices.date}."
    )
    rate = work.jobs / MONTH_SECONDS
    click.echo(
        f"Spread evenly: {rate:,.1f} jobs a second, {math.ceil(work.busy_workers):,} workers at "
        f"once, {rate * work.write_units:,.0f} write units a second."
    )


def _memory_of(worker: str, default: int) -> int:
    """Return the megabytes of a worker class. Raises Problem if app.toml doesn't declare it."""
    from job_runners.building.app_config import CONFIG, UnusableAppFolder, read_workers

    try:
        classes = read_workers(ROOT / CONFIG)
    except UnusableAppFolder as error:
        raise Problem(str(error)) from None
    if worker not in classes:
        known = f"It has {', '.join(classes)}." if classes else "It declares none."
        raise Problem(f"{ROOT / CONFIG} has no [workers.{worker}].", hint=known)
    return classes[worker].get("memory", default)


def _prices(path: Path | None) -> Prices:
    try:
        return Prices.load() if path is None else Prices.load(path)
    except OSError as error:
        raise Problem(f"Can't read {path}: {error.strerror}.") from None
    except KeyError as missing:
        raise Problem(f"{path} has no {missing}. Start with a copy of prices.toml.") from None
    except (ValueError, TypeError) as wrong:
        raise Problem(f"{path} isn't a price file: {wrong}") from None


def _row(line: Line, prices: Prices) -> tuple[str, ...]:
    price = f"{prices.by_name[line.price]:.10f}".rstrip("0").ljust(4, "0")
    dollars = line.dollars(prices)
    return (line.what, f"{line.quantity:,.6g}", f"${price}", f"{dollars:,.2f}", line.formula)


def _as_json(work: Workload, lines: list[Line], prices: Prices, total: float) -> dict[str, Any]:
    return {
        "dollars_a_month": total,
        "dollars_a_million_jobs": total / work.jobs * 1e6,
        "jobs_a_month": work.jobs,
        "workers_at_once": work.busy_workers,
        "prices": {"region": prices.region, "date": prices.date},
        "lines": [
            {
                "what": line.what,
                "quantity": line.quantity,
                "price": prices.by_name[line.price],
                "dollars": line.dollars(prices),
                "formula": line.formula,
            }
            for line in lines
        ],
    }
