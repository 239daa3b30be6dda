"""job-runners dispatch: dispatch a job by its type and payload."""

import shlex
from datetime import datetime, timedelta
from typing import Any

import click

from job_runners.cli import listing, options, output, payload, times
from job_runners.cli.completion import names_of
from job_runners.cli.known import note_unknown_queue
from job_runners.cli.output import Job
from job_runners.cli.problem import Exit, Problem
from job_runners.cli.target import Target
from job_runners.client import models

# Warn only if the job starts earlier than requested by more than this. A slow response can cause a
# smaller difference.
_TOLERANCE = timedelta(seconds=10)


@options.command(epilog=payload.HELP)
@click.argument("job_type", shell_complete=names_of("jobs"))
@click.argument("pairs", nargs=-1, metavar="[KEY=VALUE | KEY:=JSON]...")
@click.option("--payload", "whole", metavar="JSON", help=payload.OPTION_HELP)
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
    metavar="JOB_TYPE|URL",
    shell_complete=names_of("jobs"),
    help="Job type to dispatch, or https URL of a webhook to post, when the job has ended "
    "(default: that of its type).",
)
@click.option(
    "--on-failure",
    metavar="JOB_TYPE|URL",
    shell_complete=names_of("jobs"),
    help="Job type to dispatch, or https URL of a webhook to post, when the job has failed "
    "(default: that of its type).",
)
@click.option(
    "--secret", metavar="NAME", help="Name of the secret that signs the webhook, such as acme/main."
)
@click.option(
    "--idempotency-key",
    metavar="KEY",
    help="Key that makes a repeated request return the same job.",
)
@click.option(
    "--watch",
    is_flag=True,
    help="Follow the job until it finishes. Exit codes as in job-runners watch.",
)
def command(
    target: Target,
    job_type: str,
    pairs: tuple[str, ...],
    whole: str | None,
    queue: str | None,
    run_at: str | None,
    delay: float | None,
    on_end: str | None,
    on_failure: str | None,
    secret: str | None,
    idempotency_key: str | None,
    watch: bool,
) -> Exit:
    """Dispatch a job and print its id. The job is saved before it is sent to a worker.

    \b
    job-runners dispatch resize_image key=uploads/default/cat.png width:=300 --watch
    job-runners dispatch make_report --on-failure https://hooks.example.com/jobs --secret acme/main
    """
    if run_at and delay is not None:
        raise click.UsageError("--run-at and --delay both set the start. Pass only one of them.")
    _check_secret(secret, on_end, on_failure)
    body = {
        "job_type": job_type,
        "payload": payload.read_payload(pairs, whole),
        "queue_name": queue,
        "run_at": run_at,
        "delay": delay,
        "on_end": _follow_up(on_end, secret),
        "on_failure": _follow_up(on_failure, secret),
    }
    given = {name: value for name, value in body.items() if value is not None}
    with payload.explained(job_type, pairs):
        made = _dispatch(target, given, idempotency_key)
    job = listing.dispatched(target, made)
    if queue is not None:
        note_unknown_queue(
            target, queue, "the job is in it, and only job-runners queues limit limits it"
        )
    if not target.json:
        _warn_if_earlier(job, given)
    text = f"{job_type} {listing.outcome(made)}, {job['status']}"
    return listing.print_dispatched(target, job, text, watch=watch)


def _dispatch(target: Target, given: dict[str, Any], key: str | None) -> models.Job:
    try:
        return target.api.dispatch(**given, idempotency_key=key)
    except Problem as problem:
        sent_key = getattr(problem.__cause__, "idempotency_key", None)
        if sent_key and problem.code is Exit.NO_ANSWER:
            show = f"job-runners show --idempotency-key {shlex.quote(sent_key)}"
            problem.hint = f"{problem.hint} To see whether it was saved: {show}".lstrip()
        raise


def _is_url(follow_up: str | None) -> bool:
    return follow_up is not None and "://" in follow_up


def _check_secret(secret: str | None, *follow_ups: str | None) -> None:
    """Check that a secret is given for a webhook, and only for one. Raises UsageError."""
    is_needed = any(map(_is_url, follow_ups))
    if is_needed and secret is None:
        raise click.UsageError("A webhook needs a signing secret. Pass its name: --secret NAME.")
    if secret is not None and not is_needed:
        raise click.UsageError(
            "--secret signs a webhook. Pass the webhook's URL to --on-end or --on-failure."
        )


def _follow_up(named: str | None, secret: str | None) -> str | dict[str, str | None] | None:
    """Return a follow-up as the API takes it."""
    return {"webhook": named, "secret": secret} if _is_url(named) else named


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
            f"requested: its rule postpones it no further (job-runners types {job['job_type']}).",
            fg="yellow",
            err=True,
        )
