"""job-runners show: show one job."""

from itertools import islice
from typing import Any

import click

from job_runners.cli import options, output
from job_runners.cli.finding import find_job
from job_runners.cli.output import Job
from job_runners.cli.problem import Problem
from job_runners.cli.target import Target
from job_runners.cli.timeline import print_timeline
from job_runners.cli.watching import counts_in_words, wait_in_words

_MAX_CHILDREN = 100
_TIMES = {
    "created_at": "created",
    "queued_at": "queued",
    "run_at": "not before",
    "started_at": "last started",
    "finished_at": "finished",
    "expires_at": "expires",
}


@options.command()
@click.argument("job_id", required=False)
@click.option(
    "--idempotency-key", metavar="KEY", help="Find the job by its idempotency key, not its id."
)
@click.option("--traceback", is_flag=True, help="Also show the traceback.")
def command(
    target: Target, job_id: str | None, idempotency_key: str | None, traceback: bool
) -> None:
    """Show a job with its payload, result, error and timeline. URLs of result files expire after a
    few minutes."""
    options.require_one("a job id, or --idempotency-key", job_id, idempotency_key)
    if idempotency_key is not None:
        job_id = _find_by_key(target, idempotency_key)
    job = target.printable(target.api.get(find_job(target, job_id or "")))
    if target.json:
        output.print_json(job)
        return
    output.print_details(
        [*_job_details(job), *_position_in_line(target, job)],
        status_color=output.STATUS_COLORS.get(job["status"]),
    )
    for name in ("payload", "result"):
        if job.get(name) is not None:
            click.echo(f"\n{click.style(name, bold=True)}")
            _print_value(job[name])
    _print_error(job, traceback=traceback)
    _print_earlier_errors(job)
    print_timeline(target.printable(target.api.timeline(job["id"])))
    _print_groups_and_children(target, job["id"])
    if job["job_type"] == "batch":
        failed = islice(target.api.batch_members(job["id"], status="failed"), _MAX_CHILDREN)
        _print_failed_members(list(map(target.printable, failed)))
    for note in job.get("notes") or []:
        click.echo(f"\nNote: {output.one_line(note)}")


def _print_groups_and_children(target: Target, job_id: str) -> None:
    all_children = target.api.children(job_id)
    children = list(map(target.printable, islice(all_children, _MAX_CHILDREN)))
    if any(child.get("group") for child in children):
        _print_groups(list(map(target.printable, target.api.groups(job_id))))
    _print_children(children, more=next(all_children, None) is not None)


def _find_by_key(target: Target, key: str) -> str:
    job = target.api.find(idempotency_key=key)
    if job is None:
        raise Problem(
            f"No job of {target.organization_in_words} has this idempotency key, or it has "
            "expired.",
            hint="Finished jobs are kept for the days in RetentionDays.",
        )
    return job.id


def _job_details(job: Job) -> list[tuple[str, str | None]]:
    return [
        ("id", job["id"]),
        ("type", job["job_type"]),
        ("status", f"{job['status']}, {job['progress']:.0f}%"),
        ("message", job.get("result_message")),
        ("organization", job["organization_id"]),
        ("waits for", wait_in_words(job.get("waits_for"))),
        ("unique key", job.get("unique_key")),
        ("queue", job["queue_name"]),
        ("worker", job.get("worker")),
        (
            "attempt",
            f"{job['attempt']} of {job['max_attempts']}, "
            f"{output.count(job['invocations'], 'invocation')}",
        ),
        ("request", job.get("request_id")),
        ("parent", _parent(job)),
        ("follow-up of", job.get("follow_up_of")),
        ("on end", _follow_up(job, "on_end")),
        ("on failure", _follow_up(job, "on_failure")),
        ("created by", job.get("created_by")),
        ("retried by", job.get("requeued_by")),
        ("canceled by", job.get("canceled_by")),
        *((label, output.time_and_age(job.get(name))) for name, label in _TIMES.items()),
    ]


def _parent(job: Job) -> str | None:
    if job.get("group"):
        return f"{job.get('parent_id')} (group {job['group']})"
    return job.get("parent_id")


def _follow_up(job: Job, kind: str) -> str | None:
    """Return the job type of a follow-up, and its id once it has been dispatched."""
    ids = {follow_up["kind"]: follow_up["id"] for follow_up in job.get("follow_ups") or []}
    return " ".join(filter(None, (job.get(kind), ids.get(kind)))) or None


def _position_in_line(target: Target, job: Job) -> list[tuple[str, str]]:
    """Return a detail with the number of jobs that start before this one.

    Return no details if the job waits neither for its turn in a queue nor for the end of a pause.
    """
    wait = job.get("waits_for")
    if not wait or wait["kind"] in ("job", "time", "signal", "group"):
        return []
    position = target.printable(target.api.place(job["id"]))
    if position["ahead"] is None:  # the job has stopped waiting
        return []
    text = str(position["ahead"])
    if position["more_ahead"]:
        text = f"at least {text}"
    if position["of_organization"]:
        text += " of its organization"
    return [("ahead of it", text)]


def _print_value(value: Any) -> None:
    text = output.as_json(value, indent=2)
    click.echo("\n".join(f"  {line}" for line in text.splitlines()))


def _print_error(job: Job, *, traceback: bool) -> None:
    error = job.get("error")
    if not error:
        return
    click.echo(f"\n{click.style('error', bold=True)}")
    click.secho(output.indent_lines(f"{error.get('kind')}: {error.get('message')}", 2), fg="red")
    lines = (error.get("traceback") or "").rstrip().splitlines()
    if lines and traceback:
        click.echo(output.indent_lines("\n".join(lines), 2))
    elif lines:
        click.echo("  For the traceback, pass --traceback. For the log, use job-runners logs.")


def _print_earlier_errors(job: Job) -> None:
    """Print the errors of earlier attempts, latest first."""
    errors = job.get("earlier_errors") or []
    if errors:
        click.echo(f"\n{click.style('earlier attempts', bold=True)}")
    next_attempt = job["attempt"]
    for error in reversed(errors):
        if error["attempt"] >= next_attempt:  # a manual retry starts counting attempts at 1 again
            click.echo("  before the manual retry:")
        next_attempt = error["attempt"]
        heading = f"attempt {error['attempt']}, {output.time_and_age(error['at'])}"
        click.secho(f"  {heading}", dim=True)
        click.echo(output.indent_lines(f"{error['kind']}: {error['message']}", 4))


def _print_groups(groups: list[dict[str, Any]]) -> None:
    """Print how many members of each group have ended."""
    click.echo(f"\n{click.style('groups', bold=True)}")
    for group in groups:
        counted = f", counted {output.relative_time(group['as_of'])}" if group["as_of"] else ""
        click.echo(f"  {output.one_line(group['name'])}  {counts_in_words(group)}{counted}")


def _print_children(children: list[dict[str, Any]], *, more: bool) -> None:
    """Print the job's children with their keys."""
    if children:
        click.echo(f"\n{click.style('children', bold=True)}")
    for child in children:
        job = child["job"]
        text = f"{job['job_type']}, {output.colored_status(job['status'])}" if job else "gone"
        name = "/".join(filter(None, (child.get("group"), child["key"])))
        click.echo(f"  {output.short_id(child['id'])}  {output.one_line(name)}  {text}")
    if more:
        click.echo("  and more")


def _print_failed_members(members: list[dict[str, Any]]) -> None:
    """Print the failed members of a batch with their errors."""
    if members:
        click.echo(f"\n{click.style('failed members', bold=True)}  (job-runners retry --batch)")
    for member in members:
        error = member["error"] or {}
        text = f"{member['key'] or ''}  {error.get('kind')}: {error.get('message')}"
        click.echo(f"  {output.short_id(member['id'])}  {output.one_line(text)}")
