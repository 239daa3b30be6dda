"""job-runners batch: dispatch a batch, which is a job with members."""

import json
import re
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from hashlib import sha256
from pathlib import Path
from typing import Any

import click

from job_runners.cli import listing, options, payload
from job_runners.cli.completion import names_of
from job_runners.cli.problem import Exit, Problem
from job_runners.cli.target import Target
from job_runners.cli.uploading import upload

_MOST_INLINE = 1_000  # members of one request
_PLACE = re.compile(r"^members\.\d+\.?")  # in the request, before a field's name


@options.command(epilog=payload.HELP)
@click.argument("file")
@click.option(
    "--type",
    "job_type",
    metavar="NAME",
    shell_complete=names_of("jobs"),
    help="Job type of all members. Each line of FILE is then a payload.",
)
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
    job_type: str | None,
    then: str | None,
    pairs: tuple[str, ...],
    stop_after_failures: int | None,
    idempotency_key: str | None,
    watch: bool,
) -> Exit:
    """Dispatch a job for each line of FILE (- for standard input), and print the batch's id. Each
    line is JSON with job_type, payload, and optionally key and queue_name. The pairs are the
    payload of --then.

    A batch is a job: show, watch and cancel it as any other job. Retry its failed members with
    job-runners retry --batch.

    \b
    job-runners batch rows.jsonl --type resize_image
    job-runners batch images.jsonl --then build_album album:=7 --watch
    """
    if pairs and then is None:
        raise click.UsageError("The pairs are the payload of --then. Pass --then too.")
    lines = _read_lines(file)
    members = list(lines.values())
    if job_type is not None:
        members = [{"job_type": job_type, "payload": each} for each in members]
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
    with payload.explained(job_type) if job_type else nullcontext():
        try:
            made = target.api.dispatch_batch(**given, idempotency_key=idempotency_key)
        except Problem as problem:
            raise _with_lines(problem, list(lines)) from problem.__cause__
    batch = target.shown(made) | {"replayed": made.replayed}
    text = f"{batch['total']:,} members, {listing.outcome(made)}"
    return listing.print_dispatched(target, batch, text, watch=watch)


def _read_lines(file: str) -> dict[int, dict[str, Any]]:
    """Return the JSON objects in a file by their line, counted from 1. Raises click.UsageError.

    The whole file is read first, so that a broken line stops the command before any dispatch.
    """
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"Can't read {file}: {error}") from None
    return {
        number: _object(line, number)
        for number, line in enumerate(text.split("\n"), 1)
        if line.strip()
    }


def _with_lines(problem: Problem, numbers: Sequence[int]) -> Problem:
    """Return a refusal of jobs or members that names their lines. `numbers` has the line of each
    job or member."""
    answer = problem.answer if isinstance(problem.answer, dict) else {}
    lines = []
    for each in answer.get("errors") or ():
        # Members in a file get the line of the uploaded file, which has no blank lines.
        index = each["line"] - 1 if "line" in each else each.get("index", -1)
        if index not in range(len(numbers)):
            return problem
        field = _PLACE.sub("", each["field"])
        lines.append(f"line {numbers[index]}: {f'{field}: ' if field else ''}{each['why']}")
    if not lines:
        return problem
    text = "\n  ".join([f"{answer.get('title')}:", *lines])
    return Problem(text, hint=problem.hint, code=problem.code, answer=answer)


def _object(line: str, number: int) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise click.UsageError(f"Line {number} isn't JSON: {error}") from None
    if not isinstance(value, dict):
        raise click.UsageError(f"Line {number} isn't a JSON object. Each line must be one.")
    return value
