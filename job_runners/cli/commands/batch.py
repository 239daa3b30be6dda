"""job-runners batch: dispatch a batch, which is a job with members."""

import json
from hashlib import sha256
from typing import Any

import click

from job_runners.cli import listing, options, output, payload
from job_runners.cli.completion import names_of
from job_runners.cli.many import read_lines, with_lines
from job_runners.cli.problem import Exit, Problem
from job_runners.cli.target import Target
from job_runners.cli.uploading import upload

_MOST_INLINE = 1_000  # members of one request


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
@click.option("--watch", is_flag=True, help="Follow the batch. Exit codes as in job-runners watch.")
def command(
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

    A batch is a job: show, watch and cancel it as any other job. Retry its failed members with
    job-runners retry --batch.

    \b
    job-runners batch images.jsonl --then build_album album:=7 --watch
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
        from job_runners.cli.commands.watch import watch_jobs

        if not target.json:
            click.echo(f"{batch['id']}  {outcome}, on {target.name}", err=True)
        return watch_jobs(target, [batch["id"]])
    if target.json:
        output.print_json(batch)
        return None
    click.echo(batch["id"])
    click.echo(f"{batch['total']:,} members, {outcome}, on {target.name}", err=True)
    return None
