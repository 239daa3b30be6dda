"""job-runners batch: dispatch a batch, follow it, cancel it, and retry its failed members."""

import json
from hashlib import sha256
from typing import Any

import click

from job_runners.cli import listing, options, output, payload, times
from job_runners.cli.completion import names_of
from job_runners.cli.finding import find_job
from job_runners.cli.for_each_job import confirm, for_each
from job_runners.cli.many import read_lines, with_lines
from job_runners.cli.problem import Exit, Problem
from job_runners.cli.target import Target
from job_runners.cli.uploading import upload

_MOST_INLINE = 1_000  # members of one request
_COUNTS = ("total", "open", "succeeded", "failed", "canceled", "existing")


@options.group()
def command() -> None:
    """Dispatch many jobs, and another one when all have ended."""


@options.command(epilog=payload.HELP)
@click.argument("file")
@click.option(
    "--then",
    metavar="JOB_TYPE",
    shell_complete=names_of("jobs"),
    help="Job type to dispatch when all members have ended.",
)
@click.argument("pairs", nargs=-1, metavar="[KEY=VALUE | KEY:=JSON]...")
@click.option(
    "--stop-after-failures",
    type=click.IntRange(1),
    help="Number of failures after which members that have not started are canceled.",
)
@click.option(
    "--idempotency-key",
    metavar="KEY",
    help="Key that makes a repeated request return the same batch.",
)
@click.option(
    "--watch", is_flag=True, help="Follow the batch. Exit codes as in job-runners batch watch."
)
def dispatch(
    target: Target,
    file: str,
    then: str | None,
    pairs: tuple[str, ...],
    stop_after_failures: int | None,
    idempotency_key: str | None,
    watch: bool,
) -> Exit | None:
    """Dispatch a batch and print its id. FILE has a member in each line, as JSON with job_type,
    payload, and optionally key and queue_name. The pairs are the payload of --then.

    \b
    job-runners batch dispatch images.jsonl --then build_album album:=7 --watch
    """
    if pairs and then is None:
        raise click.UsageError("The pairs are the payload of --then. Pass --then too.")
    lines = read_lines(file)
    members = list(lines.values())
    given: dict[str, Any] = {
        "stop_after_failures": stop_after_failures,
        "then": then and {"job_type": then, "payload": payload.read_payload(pairs, None)},
    }
    if len(members) <= _MOST_INLINE:
        given["members"] = members
    else:
        text = "\n".join(json.dumps(each, ensure_ascii=False) for each in members)
        content = text.encode()
        given["members_file"] = upload(
            target,
            content,
            f"batches/{sha256(content).hexdigest()[:32]}.jsonl",
            why=f"More than {_MOST_INLINE:,} members go into a file in the stack's bucket.",
        )
    try:
        made = target.api.dispatch_batch(**given, idempotency_key=idempotency_key)
    except Problem as problem:
        raise with_lines(problem, list(lines)) from problem.__cause__
    batch = target.shown(made) | {"replayed": made.replayed}
    outcome = listing.outcome(made)
    if watch:
        if not target.json:
            click.echo(f"{batch['id']}  {outcome}, on {target.name}", err=True)
        return _watch(target, batch["id"], None)
    if target.json:
        output.print_json(batch)
        return None
    click.echo(batch["id"])
    click.echo(f"{batch['total']:,} members, {outcome}, on {target.name}", err=True)
    return None


@options.command()
@click.argument("batch_id")
@click.option("--failed", is_flag=True, help="Also list the members that failed.")
def show(target: Target, batch_id: str, failed: bool) -> None:
    """Show a batch, and how many of its members have ended."""
    batch = target.shown(target.api.batch(find_job(target, batch_id, job_type="batch")))
    members = _failed_members(target, batch["id"]) if failed else []
    if target.json:
        output.print_json({**batch, "members": members} if failed else batch)
        return
    facts = [("id", batch["id"]), ("state", f"{batch['state']}, {batch['progress']:.0f}%")]
    facts += [(name, f"{batch[name]:,}") for name in _COUNTS]
    if batch["as_of"]:
        facts.append(("counted", f"{output.clock(batch['as_of'])}  {output.ago(batch['as_of'])}"))
    if batch["then_id"]:
        facts.append(("then", batch["then_id"]))
    if batch["error"]:
        facts.append(("error", f"{batch['error']['kind']}: {batch['error']['message']}"))
    for name, value in facts:
        click.echo(f"{click.style(f'{name:<10}', dim=True)} {_line(value)}")
    for each in members:
        error = each["error"] or {}
        why = _line(f"{error.get('kind')}: {error.get('message')}")
        click.echo(f"  {output.short(each['id'])}  {_line(each['key'] or '')}  {why}")


@options.command()
@click.argument("batch_id")
@click.option(
    "--timeout",
    metavar="SPAN",
    callback=times.seconds,
    help="Time to wait before giving up, such as 90s or 15m (default: no limit).",
)
def watch(target: Target, batch_id: str, timeout: float | None) -> Exit:
    """Follow a batch until it ends. The exit code is 3 if the batch or a member failed. The other
    exit codes are those of `job-runners watch`."""
    return _watch(target, find_job(target, batch_id, job_type="batch"), timeout)


@options.command()
@click.argument("batch_id")
@click.option("--members", is_flag=True, help="Also cancel the members that have not ended.")
def cancel(target: Target, batch_id: str, members: bool) -> None:
    """Cancel a batch. Its last job isn't dispatched, and its members go on, unless --members."""
    batch_id = find_job(target, batch_id, job_type="batch")
    batch = target.shown(target.api.cancel_batch(batch_id, members=members))
    if target.json:
        output.print_json(batch)
    elif batch["state"] == "canceled":
        click.echo(f"{batch['id']}  {output.status('canceled')}")
    else:
        what = "is canceled once its members have ended" if members else "asked to stop"
        click.echo(f"{batch['id']}  {what}")


@options.command()
@click.argument("batch_id")
@click.option("--yes", is_flag=True, help="Don't ask for confirmation.")
def retry(target: Target, batch_id: str, yes: bool) -> Exit:
    """Retry the failed members of a batch. If the batch still waits, it waits for them again."""
    batch_id = find_job(target, batch_id, job_type="batch")
    ids = [each["id"] for each in _failed_members(target, batch_id) if each["job"]]
    if not ids:
        if not target.json:
            click.echo("The batch has no failed members.", err=True)
        return Exit.DONE
    what = f"{len(ids):,} failed member{'s'[: len(ids) != 1]}"
    confirm(f"Retry {what} of batch {output.short(batch_id)}, on {target.name}?", yes=yes)

    def retry_one(job_id: str) -> tuple[dict[str, object], str]:
        job = target.shown(target.api.retry(job_id))
        return job, output.status(job["status"])

    return for_each(target, ids, retry_one)


for _each in (dispatch, show, watch, cancel, retry):
    command.add_command(_each)


def _failed_members(target: Target, batch_id: str) -> list[dict[str, Any]]:
    return list(map(target.shown, target.api.batch_members(batch_id, status="failed")))


def _as_job(batch: dict[str, Any]) -> dict[str, Any]:
    """Return a batch with the fields of a job, so that it can be followed."""
    ended = batch["total"] - batch["open"]
    counts = [f"{ended:,} of {batch['total']:,} members have ended"]
    counts += [f"{batch[name]:,} {name}" for name in ("failed", "canceled") if batch[name]]
    if batch["state"] == "retryable" and (error := batch["error"]):
        counts.append(f"retries after {error['kind']}: {error['message']}")
    state = "running" if batch["state"] == "waiting" else batch["state"]
    return {**batch, "status": state, "job_type": "batch", "result_message": ", ".join(counts)}


def _note_unfinished(batch_id: str, why: str) -> None:
    click.echo(f"{why}. The batch continues.\n  job-runners batch watch {batch_id}", err=True)


def _line(text: str) -> str:
    return " ".join(output.plain(text).split())


def _watch(target: Target, batch_id: str, timeout: float | None) -> Exit:
    from job_runners.cli.polling import FollowedJobs, Seen, follow
    from job_runners.cli.watching import screen

    followed = FollowedJobs()

    def read(batch_id: str) -> Seen:
        batch = target.api.batch(batch_id)
        return Seen(_as_job(target.shown(batch)), batch.retry_after or 1)

    try:
        with screen([batch_id], as_json=target.json) as shown:
            follow(read, followed, [batch_id], shown, timeout)
    except KeyboardInterrupt:
        _note_unfinished(batch_id, "You stopped watching")
        return Exit.INTERRUPTED
    if followed.unfinished:
        _note_unfinished(batch_id, "Timed out")
    batch = followed.jobs[batch_id]
    if followed.code is Exit.DONE and batch and batch["failed"]:
        return Exit.JOB_FAILED
    return followed.code
