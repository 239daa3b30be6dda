"""job-runners batch: dispatch a batch, which is a job that dispatches and awaits its members."""

import json
import re
from collections.abc import Sequence
from contextlib import nullcontext
from hashlib import sha256
from typing import Any

import click

from job_runners.cli import listing, options, payload
from job_runners.cli.completion import names_of
from job_runners.cli.problem import Exit, Problem
from job_runners.cli.target import Target
from job_runners.cli.uploading import upload

_MAX_INLINE_MEMBERS = 1_000  # more members go into a file in the stack's bucket
_MEMBER_PREFIX = re.compile(r"^members\.\d+\.?")  # of a field's name in the API's errors


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
@options.watch
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
    objects_by_line = _read_lines(file)
    members = list(objects_by_line.values())
    if job_type is not None:  # the objects are payloads
        members = [{"job_type": job_type, "payload": member} for member in members]
    request: dict[str, Any] = {"stop_after_failures": stop_after_failures}
    if then is not None:
        then_payload = payload.read_payload(pairs, payload_option=None)
        request["then"] = {"job_type": then, "payload": then_payload}
    if len(members) <= _MAX_INLINE_MEMBERS:
        request["members"] = members
    else:
        text = "\n".join(json.dumps(member, ensure_ascii=False) for member in members)
        content = text.encode()
        digest = sha256(content).hexdigest()[:32]
        request["members_file"] = upload(
            target,
            content,
            f"batches/{digest}.jsonl",
            why=f"More than {_MAX_INLINE_MEMBERS:,} members go into a file in the stack's bucket.",
        )
    with payload.add_hint_if_invalid(job_type) if job_type else nullcontext():
        try:
            batch = target.api.dispatch_batch(**request, idempotency_key=idempotency_key)
        except Problem as problem:
            raise _with_line_numbers(problem, list(objects_by_line)) from problem.__cause__
    result = target.printable(batch) | {"replayed": batch.replayed}
    text = f"{result['total']:,} members, {listing.outcome_in_words(batch)}"
    return listing.print_dispatched(target, result, text, watch=watch)


def _read_lines(file: str) -> dict[int, dict[str, Any]]:
    """Return the JSON objects in a file by line number, from 1. Raises click.UsageError.

    This reads the whole file first, so that a broken line prevents any dispatch.
    """
    return {
        number: payload.parse_object(line, f"Line {number}")
        for number, line in enumerate(payload.read_text(file).split("\n"), 1)
        if line.strip()
    }


def _with_line_numbers(problem: Problem, line_numbers: Sequence[int]) -> Problem:
    """If the API refused members, name their lines in the user's file.

    `line_numbers` has the line of each member. Return any other problem unchanged.
    """
    refusal = problem.answer if isinstance(problem.answer, dict) else {}
    messages = []
    for error in refusal.get("errors") or ():
        index = error.get("index", -1)
        if "line" in error:  # in the uploaded file, which has no blank lines
            index = error["line"] - 1
        if index not in range(len(line_numbers)):
            return problem
        field = _MEMBER_PREFIX.sub("", error["field"])
        why = f"{field}: {error['why']}" if field else error["why"]
        messages.append(f"line {line_numbers[index]}: {why}")
    if not messages:
        return problem
    text = "\n  ".join([f"{refusal.get('title')}:", *messages])
    return Problem(text, hint=problem.hint, code=problem.code, answer=refusal)
