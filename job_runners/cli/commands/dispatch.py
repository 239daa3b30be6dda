"""job-runners dispatch: dispatch a job by its type and payload."""

import shlex
from datetime import datetime, timedelta
from typing import Any

import click

from job_runners.cli import listing, options, output, payload, times
from job_runners.cli.completion import names_of
from job_runners.cli.known import warn_of_unknown_queue
from job_runners.cli.output import Job
from job_runners.cli.problem import Exit, Problem
from job_runners.cli.target import Target
from job_runners.client import models

# Warn only if the job starts at least this much earlier than the user requested. A slow response
# can cause a smaller difference.
_TOLERANCE = timedelta(seconds=10)


@options.command(epilog=payload.HELP)
@click.argument("job_type", shell_complete=names_of("jobs"))
@click.argument("pairs", nargs=-1, metavar="[KEY=VALUE | KEY:=JSON]...")
@click.option("--payload", "payload_option", metavar="JSON", help=payload.OPTION_HELP)
@click.option("--queue", metavar="NAME", help="Queue (default: the job type's own).")
@click.option(
    "--run-at",
    metavar="TIME",
    callback=times.parse_time,
    help="Earliest start, such as 2026-05-01T09:00 (default zone: this machine's).",
)
@click.option(
    "--delay",
    metavar="SPAN",
    callback=times.parse_time_span,
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
    payload_option: str | None,
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
        "payload": payload.read_payload(pairs, payload_option),
        "queue_name": queue,
        "run_at": run_at,
        "delay": delay,
        "on_end": _follow_up(on_end, secret),
        "on_failure": _follow_up(on_failure, secret),
    }
    request = {name: value for name, value in body.items() if value is not None}
    with payload.add_hint_if_invalid(job_type, pairs):
        job = _dispatch(target, request, idempotency_key)
    result = listing.dispatch_result(target, job)
    if queue is not None:
        warn_of_unknown_queue(
            target, queue, "the job is in it, and only job-runners queues limit limits it"
        )
    if not target.json:
        _warn_if_earlier(result, request)
    text = f"{job_type} {listing.outcome_in_words(job)}, {result['status']}"
    return listing.print_dispatched(target, result, text, watch=watch)


def _dispatch(target: Target, request: dict[str, Any], key: str | None) -> models.Job:
    try:
        return target.api.dispatch(**request, idempotency_key=key)
    except Problem as problem:
        # The client creates a key if the user passes none. Its errors have the key.
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


def _follow_up(type_or_url: str | None, secret: str | None) -> str | dict[str, str | None] | None:
    """Return a follow-up, which is a job type or a webhook, in the form of the API's request."""
    if _is_url(type_or_url):
        return {"webhook": type_or_url, "secret": secret}
    return type_or_url


def _warn_if_earlier(job: Job, request: dict[str, Any]) -> None:
    """Warn if the request changed an existing job that starts earlier than the user requested.

    A request for a unique job may replace the payload of a job that waits. The job type's rule then
    limits how far the request can postpone the start.
    """
    if job["unique_outcome"] != "replaced" or job["replayed"]:
        return
    changed_at = datetime.fromisoformat(job["updated_at"])
    if "run_at" in request:
        requested = datetime.fromisoformat(request["run_at"])
    else:  # the delay starts when the API receives the request, a moment before it writes the row
        requested = changed_at + timedelta(seconds=request.get("delay", 0))
    if job["run_at"]:
        start = datetime.fromisoformat(job["run_at"])
        start_in_words = f"at {output.clock(job['run_at'])}"
    else:
        start = changed_at
        start_in_words = "now"
    if requested - start > _TOLERANCE:
        click.secho(
            f"The job starts {start_in_words}, earlier than "
            f"requested: its rule postpones it no further (job-runners types {job['job_type']}).",
            fg="yellow",
            err=True,
        )
