"""job-runners logs: show the lines that a job or task printed and logged."""

import json
import re
import time
from typing import TYPE_CHECKING, Any

import click

from job_runners.cli import options, output, times
from job_runners.cli.finding import find_job, find_task
from job_runners.cli.problem import NoMatchingId, Problem
from job_runners.cli.target import Target

if TYPE_CHECKING:
    from job_runners.cli.log_lines import Line
    from job_runners.cli.output import Job

_COLORS = {"ERROR": "red", "CRITICAL": "red", "WARNING": "yellow"}
# Fields that aren't printed as name=value, because a line shows them in another way, or because
# they are the same in each line.
_UNLISTED_FIELDS = frozenset(
    {
        *("level", "location", "message", "timestamp", "service", "stream", "invocation"),
        *("job_id", "job_type", "organization_id", "request_id", "task_id", "task_name"),
        *("xray_trace_id", "trace_id", "span_id"),
        *("exception", "exception_name", "stack_trace"),
    }
)


@options.command()
@click.argument("work_id", metavar="ID")
@click.option(
    "--follow", "-f", is_flag=True, help="Print new lines until the job or task has ended."
)
@click.option(
    "--since",
    callback=times.parse_time_span,
    default="1d",
    metavar="TIME",
    help="How far back to search for a task's lines, such as 2h or 7d (default 1d). Jobs don't "
    "need it.",
)
def command(target: Target, work_id: str, follow: bool, since: float) -> None:
    """Show the lines that a job or task printed and logged, from all functions in time order, and
    Lambda's reports on how its latest invocations ended.

    Each line has time, function, level (or stream), attempt and invocation (1/2 is attempt 1,
    invocation 2). With
    --json, print the raw lines, one object each.

    Logs are kept for 30 days and arrive a few seconds late. On the local AWS, they arrive at once,
    and there are no reports from Lambda."""
    from job_runners.cli import log_following
    from job_runners.cli.log_lines import Logs

    job = _find_job(target, work_id)
    if job is None:
        work_id = _find_task_id(target, work_id)
        logs = Logs.between(target, time.time() - since, time.time() + since)
    else:
        work_id = job["id"]
        logs = Logs.around(target, job)
    if follow:
        lines = log_following.follow(logs, work_id, is_job=job is not None)
    else:
        lines = iter(logs.about(work_id))
    line_count = 0
    for line in lines:
        line_count += 1
        if target.json:
            output.print_json_line(line.fields)
        else:
            _print_line(line)
    if not line_count and not target.json:
        text = "No log lines yet. They appear a few seconds late."
        if job is None:
            text += (
                f" No job has this id. For a task, the search goes back {since / 3600:g}h: pass "
                "--since to go back further."
            )
        click.echo(text, err=True)


def _find_job(target: Target, work_id: str) -> "Job | None":
    """Return the job whose id starts with `work_id`, or None, because a task may have this id."""
    try:
        return target.printable(target.api.get(find_job(target, work_id)))
    except NoMatchingId:
        return None
    except Problem as problem:
        if isinstance(problem.answer, dict) and problem.answer.get("status") == 404:
            return None
        raise


def _find_task_id(target: Target, start: str) -> str:
    """Return a task's complete id. Raises Problem if `start` can't be the start of an id.

    Searching the logs for any other text would show all lines that contain it.
    """
    if not re.fullmatch(r"[0-9a-f]{4,32}", start):
        raise Problem(
            f"There is no job {start}, and no task: an id has 32 hex digits.",
            hint="List jobs with job-runners list, and failed tasks with job-runners failures "
            "tasks.",
        )
    try:
        return find_task(target, start)
    except NoMatchingId:
        raise Problem(
            f"No recent job or failed task has an id that starts with {start}.",
            hint="Pass the full id, which `job-runners dispatch` and `job-runners task` print.",
        ) from None


def _print_line(line: "Line") -> None:
    level = str(line.fields.get("level", ""))
    attempt_and_invocation = _attempt_and_invocation(line)
    columns = [
        output.time_of_day(line.time),
        f"{line.group:<8}",
        click.style(f"{output.plain(_level_or_stream(line)):<7}", fg=_COLORS.get(level)),
    ]
    if attempt_and_invocation:
        columns.append(click.style(output.plain(f"{attempt_and_invocation:<4}"), dim=True))
    if line.is_report:
        columns.append(output.plain(_report_in_words(line.fields["record"])))
    else:
        columns.append(output.plain(_message(line)))
        columns += _other_fields(line, without_attempt=bool(attempt_and_invocation))
    click.echo(" ".join(columns))
    if "exception" in line.fields:
        click.echo(output.indent_lines(str(line.fields["exception"]), 4))


def _other_fields(line: "Line", *, without_attempt: bool) -> list[str]:
    hidden = _UNLISTED_FIELDS | {"attempt"} if without_attempt else _UNLISTED_FIELDS
    return [
        click.style(output.plain(f"{name}={value}"), dim=True)
        for name, value in line.fields.items()
        if name not in hidden
    ]


def _level_or_stream(line: "Line") -> str:
    if line.is_report:
        return "REPORT"
    return str(line.fields.get("stream") or line.fields.get("level", ""))


def _attempt_and_invocation(line: "Line") -> str:
    """Return the attempt and the invocation that wrote a job's line, such as "1/2".

    For a task, return only the attempt. If neither a job nor a task wrote the line, return "".
    """
    attempt = line.fields.get("attempt")
    invocation = line.fields.get("invocation")
    if attempt is None or (invocation is None and "task_id" not in line.fields):
        return ""
    return str(attempt) if invocation is None else f"{attempt}/{invocation}"


def _message(line: "Line") -> str:
    message = line.fields.get("message")
    return message if isinstance(message, str) else json.dumps(message)


def _report_in_words(record: dict[str, Any]) -> str:
    """Describe an invocation's status, duration and memory."""
    metrics = record.get("metrics", {})
    seconds = metrics.get("durationMs", 0) / 1000
    used, total = metrics.get("maxMemoryUsedMB"), metrics.get("memorySizeMB")
    return f"{record.get('status')} after {seconds:.1f} s, {used} of {total} MB of memory used"
