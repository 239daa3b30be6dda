"""jobs logs: what was logged about a job."""

import json
from typing import TYPE_CHECKING

import click

from cli import output
from cli.options import command as jobs_command
from cli.where import Where

if TYPE_CHECKING:
    from cli.log_lines import Line

_COLOURS = {"ERROR": "red", "CRITICAL": "red", "WARNING": "yellow"}
# What the line says already, and what is the same in every line.
_SHOWN_APART = frozenset(
    {
        *("level", "location", "message", "timestamp", "service"),
        *("job_id", "job_type", "organization_id", "request_id"),
        *("cold_start", "function_arn", "function_memory_size", "function_name"),
        *("function_request_id", "xray_trace_id", "exception", "exception_name", "stack_trace"),
    }
)


@jobs_command()
@click.argument("job_id")
def command(where: Where, job_id: str) -> None:
    """What all functions logged about a job, in order of time. With --json the lines as they are,
    one object each. Logs are kept for 30 days, and appear some seconds late. Lambda's own lines
    (REPORT, a timeout) name no job: look for them by the times shown here."""
    from cli import log_lines

    job = where.api.job(where.api.find(job_id)).job
    count = 0
    for line in log_lines.about(where, job["id"], log_lines.span(job)):
        count += 1
        if where.json:
            output.print_json_line(line.fields)
        else:
            _print(line)
    if not count and not where.json:
        click.echo(
            "Nothing is logged about it, or not yet: lines appear some seconds late.", err=True
        )


def _print(line: "Line") -> None:
    fields = line.fields
    level = str(fields.get("level", ""))
    message = fields.get("message")
    said = message if isinstance(message, str) else json.dumps(message)
    more = {name: value for name, value in fields.items() if name not in _SHOWN_APART}
    words = [
        output.moment(line.time),
        f"{line.group:<8}",
        click.style(f"{output.plain(level):<7}", fg=_COLOURS.get(level)),
        output.plain(said),
        *(click.style(output.plain(f"{name}={value}"), dim=True) for name, value in more.items()),
    ]
    click.echo(" ".join(words))
    if "exception" in fields:
        click.echo(
            "\n".join(f"    {each}" for each in output.plain(str(fields["exception"])).splitlines())
        )
