"""Print a job's timeline.

The API returns it as acts and records. An act is something that a caller did, such as a cancel. A
record is an invocation of the job, or something that took time in one, such as a step.
"""

from datetime import datetime
from typing import Any

import click

from job_runners.cli import output

_MAX_ROWS = 200
_HEADINGS = ("started", "took", "what", "outcome")
# The outcomes of an invocation in words. An outcome that isn't listed here is printed unchanged.
_OUTCOMES = {
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
    """Print a timeline as a table, in the order of time."""
    acts = [(act["at"], _act_row(act)) for act in timeline["acts"]]
    records = [(record["began_at"], _record_row(record)) for record in timeline["records"]]
    # The sort keeps an act before a record of the same time.
    timed_rows = sorted([*acts, *records], key=lambda timed_row: timed_row[0])
    if not timed_rows:
        return
    click.echo(f"\n{click.style('timeline', bold=True)}")
    output.print_table(_HEADINGS, [row for _, row in timed_rows[:_MAX_ROWS]])
    if len(timed_rows) > _MAX_ROWS or not timeline["complete"]:
        click.echo("  and more: see the dashboard")
    if timeline["gaps"]:
        click.echo(f"  not recorded: invocations {', '.join(map(str, timeline['gaps']))}")


def _act_row(act: dict[str, Any]) -> list[str]:
    what = _ACTS.get(act["what"], "retried")
    if act["by"]:
        what += f" by {act['by']}"
    if act.get("rerun_of"):
        what += f", continues job {act['rerun_of']}"
    return [_clock(act["at"]), "", what, ""]


def _record_row(record: dict[str, Any]) -> list[str]:
    """Return a record as a row. Records in an invocation are indented below it."""
    started = _clock(record["began_at"])
    ended_at = record["ended_at"]
    took = _time_between(record["began_at"], ended_at) if ended_at else "so far"
    if record["kind"] != "invocation":
        name = f"{record['kind']} {record['name'] or ''}".rstrip()
        outcome = record["outcome"] or "open"
        by = f" by {record['by']}" if record["by"] else ""
        return [started, took, f"  {name}", f"{outcome}{by}"]
    what = f"invocation {record['claim']} (attempt {record['attempt']})"
    outcome = _OUTCOMES.get(record["outcome"], record["outcome"]) or "running"
    if record["error"]:
        step = f" in step {record['name']}" if record["name"] else ""
        outcome = f"{outcome}: {record['error']}{step}"
    waited = _time_between(record["ready_at"], record["began_at"])
    return [started, took, what, f"{outcome}; waited {waited} for a worker"]


def _clock(iso: str) -> str:
    return f"{output.clock(iso)}.{datetime.fromisoformat(iso).microsecond // 1000:03}"


def _time_between(start: str, end: str) -> str:
    span = datetime.fromisoformat(end) - datetime.fromisoformat(start)
    return output.exact_duration(span.total_seconds() * 1000)
