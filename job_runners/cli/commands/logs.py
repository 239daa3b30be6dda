"""jobs logs: what was logged about a job."""

import json
from typing import TYPE_CHECKING, Any

import click

from job_runners.cli import output
from job_runners.cli.options import command as jobs_command
from job_runners.cli.target import Target

if TYPE_CHECKING:
    from job_runners.cli.log_lines import Line

_COLOURS = {"ERROR": "red", "CRITICAL": "red", "WARNING": "yellow"}
# What the line says already, and what is the same in every line.
_SHOWN_APART = frozenset(
    {
        *("level", "location", "message", "timestamp", "service"),
        *("job_id", "job_type", "organization_id", "request_id"),
        *("xray_trace_id", "exception", "exception_name", "stack_trace"),
    }
)


@jobs_command()
@click.argument("job_id")
def command(target: Target, job_id: str) -> None:
    """Show what all functions logged about a job, in order of time, and how Lambda says its newest
    invocations ended. With --json the lines as they are, one object each. Logs are kept for 30
    days, and appear some seconds late. The local AWS has no such reports of Lambda's."""
    from job_runners.cli.log_lines import Logs

    job = target.api.job(target.api.find(job_id)).job
    lines = Logs.around(target, job).about(job["id"])
    for line in lines:
        if target.json:
            output.print_json_line(line.fields)
        else:
            _print(line)
    if not lines and not target.json:
        text = "Nothing is logged about it, or not yet: lines appear some seconds late."
        click.echo(text, err=True)


def _print(line: "Line") -> None:
    level = "REPORT" if line.is_report else str(line.fields.get("level", ""))
    more = {} if line.is_report else line.fields
    text = [
        output.moment(line.time),
        f"{line.group:<8}",
        click.style(f"{output.plain(level):<7}", fg=_COLOURS.get(level)),
        output.plain(_report(line.fields["record"]) if line.is_report else _message(line)),
        *(
            click.style(output.plain(f"{name}={value}"), dim=True)
            for name, value in more.items()
            if name not in _SHOWN_APART
        ),
    ]
    click.echo(" ".join(text))
    if "exception" in line.fields:
        exception = output.plain(str(line.fields["exception"]))
        click.echo("\n".join(f"    {each}" for each in exception.splitlines()))


def _message(line: "Line") -> str:
    message = line.fields.get("message")
    return message if isinstance(message, str) else json.dumps(message)


def _report(record: dict[str, Any]) -> str:
    """How an invocation ended, and what it took."""
    metrics = record.get("metrics", {})
    seconds = metrics.get("durationMs", 0) / 1000
    used, most = metrics.get("maxMemoryUsedMB"), metrics.get("memorySizeMB")
    return f"{record.get('status')} after {seconds:.1f} s, {used} of {most} MB of memory used"
