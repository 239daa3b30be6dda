"""jobs dispatch: a job, from a name and a payload."""

import click

from job_runners.cli import output, payload, times
from job_runners.cli.completion import names_of
from job_runners.cli.options import command as jobs_command
from job_runners.cli.problem import Exit
from job_runners.cli.target import Target


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
    if watch:
        from job_runners.cli.commands.watch import watch_jobs

        if not target.json:
            click.echo(f"{job['id']}  {word}, on {target.name}", err=True)
        return watch_jobs(target, [job["id"]])
    if target.json:
        output.print_json(job)
        return None
    click.echo(job["id"])
    click.echo(f"{job_type} {word}, {output.status(job['status'])}, on {target.name}", err=True)
    return None
