"""jobs dispatch: a job, from a name and a payload."""

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

# A time that is sooner by so much may come of a slow answer.
_UNNOTICED = timedelta(seconds=10)


@jobs_command(epilog=payload.HELP)
@click.argument("job_type", shell_complete=names_of("jobs"))
@click.argument("pairs", nargs=-1, metavar="[KEY=VALUE | KEY:=JSON]...")
@click.option("--payload", "whole", metavar="JSON", help="The payload as an object; - or @FILE.")
@click.option("--campaign", metavar="ID", help="The campaign that it is for.")
@click.option("--queue", metavar="NAME", help="Its queue, if not its type's own.")
@click.option(
    "--run-at",
    metavar="TIME",
    callback=times.moment,
    help="Not before this time, like 2026-05-01T09:00; with a zone if not this machine's.",
)
@click.option(
    "--delay", metavar="SPAN", callback=times.seconds, help="Not before so long from now: 90s, 15m."
)
@click.option(
    "--idempotency-key",
    metavar="KEY",
    help="The same request with the same key is one job, however often it is sent.",
)
@click.option("--watch", is_flag=True, help="Follow it to its end; exit codes as of jobs watch.")
def command(
    target: Target,
    job_type: str,
    pairs: tuple[str, ...],
    whole: str | None,
    campaign: str | None,
    queue: str | None,
    run_at: str | None,
    delay: float | None,
    idempotency_key: str | None,
    watch: bool,
) -> Exit | None:
    """Have a job done: saved first, then sent to a worker. Prints its id.

    \b
    jobs dispatch import_contacts key=uploads/default/may.csv --campaign spring --watch
    """
    if run_at and delay is not None:
        raise click.UsageError("--run-at and --delay are two ways to say one thing: choose one")
    body = {
        "job_type": job_type,
        "payload": payload.read_payload(pairs, whole),
        "campaign_id": campaign,
        "queue_name": queue,
        "run_at": run_at,
        "delay": delay,
    }
    given = {name: value for name, value in body.items() if value is not None}
    with payload.hinting_at_json(pairs):
        job, word = target.api.dispatch(given, idempotency_key)
    if queue is not None:
        note_unknown_queue(target, queue, "the job is in it, with no limits but those put by hand")
    if watch:
        from job_runners.cli.commands.watch import watch_jobs

        if not target.json:
            click.echo(f"{job['id']}  {word}, on {target.name}", err=True)
            _note_its_time(job, given)
        return watch_jobs(target, [job["id"]])
    if target.json:
        output.print_json(job)
        return None
    click.echo(job["id"])
    click.echo(f"{job_type} {word}, {output.status(job['status'])}, on {target.name}", err=True)
    _note_its_time(job, given)
    return None


def _note_its_time(job: Job, given: dict[str, Any]) -> None:
    """Say that a job which took this request's payload is not put off for as long as was asked."""
    if job["unique_outcome"] != "replaced" or job["replayed"]:
        return
    changed_at = datetime.fromisoformat(job["updated_at"])
    if "run_at" in given:
        asked = datetime.fromisoformat(given["run_at"])
    else:  # the delay counts from when the API took it, a moment before it was written
        asked = changed_at + timedelta(seconds=given.get("delay", 0))
    run_at = job["run_at"]
    if asked - (datetime.fromisoformat(run_at) if run_at else changed_at) > _UNNOTICED:
        click.secho(
            f"Its time is {output.clock(run_at) if run_at else 'now'}, sooner than asked: by its "
            f"rule it is put off no further (jobs types {job['job_type']}).",
            fg="yellow",
            err=True,
        )
