"""jobs dispatch: dispatch a job by its type and payload."""

from datetime import datetime, timedelta
from typing import Any

import click

from job_runners.cli import output, payload, times
from job_runners.cli.api import Job
from job_runners.cli.completion import names_of
from job_runners.cli.known import note_unknown_queue
from job_runners.cli.options import command as jobs_command
from job_runners.cli.problem import Exit
from job_runners.cli.target import Target

# Warn only if the job starts earlier than requested by more than this. A slow response can cause a
# smaller difference.
_TOLERANCE = timedelta(seconds=10)


@jobs_command(epilog=payload.HELP)
@click.argument("job_type", shell_complete=names_of("jobs"))
@click.argument("pairs", nargs=-1, metavar="[KEY=VALUE | KEY:=JSON]...")
@click.option("--payload", "whole", metavar="JSON", help=payload.OPTION_HELP)
@click.option(
    "--from",
    "file",
    metavar="FILE",
    help="Dispatch a job for each line of FILE (- for standard input), a payload as JSON.",
)
@click.option("--campaign", metavar="ID", help="Campaign id.")
@click.option("--queue", metavar="NAME", help="Queue (default: the job type's own).")
@click.option(
    "--run-at",
    metavar="TIME",
    callback=times.moment,
    help="Earliest start, such as 2026-05-01T09:00 (default zone: this machine's).",
)
@click.option(
    "--delay",
    metavar="SPAN",
    callback=times.seconds,
    help="Time to wait before the job may start, such as 90s or 15m.",
)
@click.option(
    "--on-end",
    metavar="JOB_TYPE",
    shell_complete=names_of("jobs"),
    help="Job type to dispatch when the job has ended (default: that of its type).",
)
@click.option(
    "--on-failure",
    metavar="JOB_TYPE",
    shell_complete=names_of("jobs"),
    help="Job type to dispatch when the job has failed (default: that of its type).",
)
@click.option(
    "--idempotency-key",
    metavar="KEY",
    help="Key that makes a repeated request return the same job.",
)
@click.option(
    "--watch",
    is_flag=True,
    help="Follow the job until it finishes. Exit codes as in jobs watch.",
)
def command(
    target: Target,
    job_type: str,
    pairs: tuple[str, ...],
    whole: str | None,
    file: str | None,
    campaign: str | None,
    queue: str | None,
    run_at: str | None,
    delay: float | None,
    on_end: str | None,
    on_failure: str | None,
    idempotency_key: str | None,
    watch: bool,
) -> Exit | None:
    """Dispatch a job and print its id. The job is saved before it is sent to a worker.

    \b
    jobs dispatch import_contacts key=uploads/default/may.csv --campaign spring --watch
    jobs dispatch resize_image --from rows.jsonl --idempotency-key may
    """
    if run_at and delay is not None:
        raise click.UsageError("--run-at and --delay both set the start. Pass only one of them.")
    if file is not None and (pairs or whole is not None or watch):
        raise click.UsageError("Pass --from without a payload and without --watch.")
    body = {
        "job_type": job_type,
        "payload": payload.read_payload(pairs, whole) if file is None else None,
        "campaign_id": campaign,
        "queue_name": queue,
        "run_at": run_at,
        "delay": delay,
        "on_end": on_end,
        "on_failure": on_failure,
    }
    given = {name: value for name, value in body.items() if value is not None}
    if file is not None:
        from job_runners.cli.many import dispatch_lines

        return dispatch_lines(target, file, given, idempotency_key)
    with payload.hinting_at_json(pairs):
        job, outcome = target.api.dispatch(given, idempotency_key)
    if queue is not None:
        note_unknown_queue(target, queue, "the job is in it, limited only by jobs limit")
    if watch:
        from job_runners.cli.commands.watch import watch_jobs

        if not target.json:
            click.echo(f"{job['id']}  {outcome}, on {target.name}", err=True)
            _warn_if_earlier(job, given)
        return watch_jobs(target, [job["id"]])
    if target.json:
        output.print_json(job)
        return None
    click.echo(job["id"])
    click.echo(f"{job_type} {outcome}, {output.status(job['status'])}, on {target.name}", err=True)
    _warn_if_earlier(job, given)
    return None


def _warn_if_earlier(job: Job, given: dict[str, Any]) -> None:
    """Warn if the request replaced a waiting job's payload, but the job starts earlier than
    requested."""
    if job["unique_outcome"] != "replaced" or job["replayed"]:
        return
    changed_at = datetime.fromisoformat(job["updated_at"])
    if "run_at" in given:
        requested = datetime.fromisoformat(given["run_at"])
    else:  # the delay starts when the API receives the request, a moment before it writes the row
        requested = changed_at + timedelta(seconds=given.get("delay", 0))
    run_at = job["run_at"]
    if requested - (datetime.fromisoformat(run_at) if run_at else changed_at) > _TOLERANCE:
        click.secho(
            f"The job starts {f'at {output.clock(run_at)}' if run_at else 'now'}, earlier than "
            f"requested: its rule postpones it no further (jobs types {job['job_type']}).",
            fg="yellow",
            err=True,
        )
