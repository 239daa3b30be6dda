"""job-runners dispatch: dispatch a job by its type and payload."""

import shlex
from typing import Any

import click

from job_runners.cli import listing, options, payload, times
from job_runners.cli.completion import names_of
from job_runners.cli.known import warn_of_unknown_queue
from job_runners.cli.problem import Exit, Problem
from job_runners.cli.target import Target
from job_runners.cli.watching import state
from job_runners.client import models


@options.command(epilog=payload.HELP)
@click.argument("job_type", shell_complete=names_of("jobs"))
@click.argument("pairs", nargs=-1, metavar="[KEY=VALUE | KEY:=JSON]...")
@click.option("--payload", "payload_option", metavar="JSON", help=payload.OPTION_HELP)
@click.option("--queue", "queue_name", metavar="NAME", help="Queue (default: the job type's own).")
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
@options.watch
def command(
    target: Target,
    job_type: str,
    pairs: tuple[str, ...],
    payload_option: str | None,
    queue_name: str | None,
    secret: str | None,
    watch: bool,
    **request: Any,  # the other options, by their names in the API
) -> Exit:
    """Dispatch a job and print its id. The job is saved before it is sent to a worker.

    \b
    job-runners dispatch resize_image key=uploads/default/cat.png width:=300 --watch
    job-runners dispatch make_report --on-failure https://hooks.example.com/jobs --secret acme/main
    """
    if request["run_at"] and request["delay"] is not None:
        raise click.UsageError("--run-at and --delay both set the start. Pass only one of them.")
    _check_secret(secret, request["on_end"], request["on_failure"])
    for kind in ("on_end", "on_failure"):
        if _is_url(request[kind]):
            request[kind] = {"webhook": request[kind], "secret": secret}
    request["payload"] = payload.read_payload(pairs, payload_option)
    request["queue_name"] = queue_name
    with payload.add_hint_if_invalid(job_type, pairs):
        job = _dispatch(target, job_type, request)
    result = listing.dispatch_result(target, job)
    if queue_name is not None:
        warn_of_unknown_queue(
            target, queue_name, "the job is in it, and only job-runners queues limit limits it"
        )
    text = f"{job_type} {listing.outcome_in_words(job)}, {result['status']}"
    if result["status"] == "scheduled":
        text += f", {state(result)}"
        if result["unique_outcome"] == "replaced":  # the uniqueness rule may limit the delay
            text += f", which its type's rule may have limited (job-runners types {job_type})"
    return listing.print_dispatched(target, result, text, watch=watch)


def _dispatch(target: Target, job_type: str, request: dict[str, Any]) -> models.Job:
    try:
        return target.api.dispatch(job_type, **request)
    except Problem as problem:
        # The client's error has the key that it sent, even if the user passed none.
        sent_key = getattr(problem.__cause__, "idempotency_key", None)
        if sent_key and problem.code is Exit.NO_ANSWER:
            show_command = f"job-runners show --idempotency-key {shlex.quote(sent_key)}"
            problem.hint = f"{problem.hint} To see whether it was saved: {show_command}".lstrip()
        raise


def _is_url(follow_up: str | None) -> bool:
    return follow_up is not None and "://" in follow_up


def _check_secret(secret: str | None, *follow_ups: str | None) -> None:
    """Raise UsageError for a webhook without a secret, or for a secret without a webhook."""
    has_webhook = any(map(_is_url, follow_ups))
    if has_webhook and secret is None:
        raise click.UsageError("A webhook needs a signing secret. Pass its name: --secret NAME.")
    if secret is not None and not has_webhook:
        raise click.UsageError(
            "--secret signs a webhook. Pass the webhook's URL to --on-end or --on-failure."
        )
