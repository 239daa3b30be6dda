"""Print a job's timeline.

In the API's answer, an act is something that a caller did, such as a cancel. A record is an
invocation of the job, or a part of one, such as a step.
"""

from datetime import datetime
from typing import Any

import click

from job_runners.cli import output

_MAX_ROWS = 200
_HEADINGS = ("started", "took", "what", "outcome")
# How to print the outcomes of an invocation. Other outcomes are printed unchanged.
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
    """Print a timeline as a table in the order of time."""
    acts = [(act["at"], _act_row(act)) for act in timeline["acts"]]
    records = [(record["began_at"], _record_row(record)) for record in timeline["records"]]
    # Sorting is stable, so acts come before records of the same time.
    times_and_rows = sorted([*acts, *records], key=lambda time_and_row: time_and_row[0])
    if not times_and_rows:
        return
    click.echo(f"\n{click.style('timeline', bold=True)}")
    output.print_table(_HEADINGS, [row for _, row in times_and_rows[:_MAX_ROWS]])
    if len(times_and_rows) > _MAX_ROWS or not timeline["complete"]:
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
    started = _clock(record["began_at"])
    ended_at = record["ended_at"]
    took = _time_between(record["began_at"], ended_at) if ended_at else "so far"
    if record["kind"] == "invocation":
        what = f"invocation {record['claim']} (attempt {record['attempt']})"
        return [started, took, what, _invocation_outcome(record)]
    what = f"{record['kind']} {record['name'] or ''}".rstrip()
    by = f" by {record['by']}" if record["by"] else ""
    # Indented, because it is part of the invocation above.
    return [started, took, f"  {what}", f"{record['outcome'] or 'open'}{by}"]


def _invocation_outcome(record: dict[str, Any]) -> str:
    outcome = _OUTCOMES.get(record["outcome"], record["outcome"]) or "running"
    if record["error"]:
        step = f" in step {record['name']}" if record["name"] else ""
        outcome = f"{outcome}: {record['error']}{step}"
    waited = _time_between(record["ready_at"], record["began_at"])
    return f"{outcome}; waited {waited} for a worker"


def _clock(iso: str) -> str:
    return f"{output.clock(iso)}.{datetime.fromisoformat(iso).microsecond // 1000:03}"


def _time_between(start: str, end: str) -> str:
    span = datetime.fromisoformat(end) - datetime.fromisoformat(start)
    return output.exact_duration(span.total_seconds() * 1000)
