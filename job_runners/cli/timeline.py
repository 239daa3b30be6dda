"""Print a job's timeline."""

from datetime import datetime
from typing import Any

import click

from job_runners.cli import output

_MOST_ROWS = 200
_HEADINGS = ("started", "took", "what", "outcome")
# What the outcome of an invocation means. The other outcomes are words already.
_WORDS = {
    "failed": "attempt failed",
    "continued": "time over, continued in the next invocation",
    "slept": "sleeps",
    "waited": "waits for a signal",
    "gathered": "waits for its group",
    "paused": "held by a pause",
    "yielded": "went to the end of its line",
    "released": "not started, queued again",
    "lost": "its worker was killed",
}
_ACTS = {"dispatched": "dispatched", "replaced": "payload replaced", "canceled": "cancel requested"}


def print_timeline(timeline: dict[str, Any]) -> None:
    """Print a timeline as a table: what callers did, and below each invocation what it did."""
    lines = [(each["at"], 0, _act(each)) for each in timeline["acts"]]
    for record in timeline["records"]:
        lines.append((record["began_at"], 1, _row(record)))
    lines.sort(key=lambda line: line[:2])
    if not lines:
        return
    click.echo(f"\n{click.style('timeline', bold=True)}")
    output.table(_HEADINGS, [row for _, _, row in lines[:_MOST_ROWS]])
    if len(lines) > _MOST_ROWS or not timeline["complete"]:
        click.echo("  and more: see the dashboard")
    if timeline["gaps"]:
        click.echo(f"  not recorded: invocations {', '.join(map(str, timeline['gaps']))}")


def _act(act: dict[str, Any]) -> list[str]:
    by = f" by {act['by']}" if act["by"] else ""
    by += f", continues job {act['rerun_of']}" if act.get("rerun_of") else ""
    return [output.clock(act["at"]), "", f"{_ACTS.get(act['what'], 'retried')}{by}", ""]


def _row(record: dict[str, Any]) -> list[str]:
    """Return a record as a row. What an invocation did is indented below it."""
    started, ended = output.clock(record["began_at"]), record["ended_at"]
    took = _took(record["began_at"], ended) if ended else "so far"
    if record["kind"] != "invocation":
        name = f"{record['kind']} {record['name'] or ''}".rstrip()
        outcome = record["outcome"] or "open"
        by = f" by {record['by']}" if record["by"] else ""
        return [started, took, f"  {name}", f"{outcome}{by}"]
    what = f"invocation {record['claim']} (attempt {record['attempt']})"
    outcome = _WORDS.get(record["outcome"], record["outcome"]) or "running"
    if record["error"]:
        step = f" in step {record['name']}" if record["name"] else ""
        outcome = f"{outcome}: {record['error']}{step}"
    waited = _took(record["ready_at"], record["began_at"])
    return [started, took, what, f"{outcome}; waited {waited} for a worker"]


def _took(began: str, ended: str) -> str:
    seconds = (datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds()
    return f"{seconds:.1f} s" if seconds < 10 else output.duration(seconds)
