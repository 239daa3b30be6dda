"""jobs dispatch TYPE --from FILE: dispatch a job for each line of a file."""

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from job_runners.cli import output
from job_runners.cli.problem import Exit, Problem
from job_runners.cli.target import Target
from job_runners.client.repeating import new_key
from job_runners.places import COMMAND

_STEP = 1_000  # jobs between two lines of progress


def read_lines(file: str) -> list[dict[str, Any]]:
    """Return the payloads in a file, one JSON object in each line. Raises click.UsageError.

    The whole file is read first, so that a broken line stops the command before any dispatch.
    """
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"Can't read {file}: {error}") from None
    return [
        _payload(line, number) for number, line in enumerate(text.split("\n"), 1) if line.strip()
    ]


def _payload(line: str, number: int) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise click.UsageError(f"Line {number} isn't JSON: {error}") from None
    if not isinstance(value, dict):
        raise click.UsageError(f"Line {number} isn't a JSON object. A payload must be one.")
    return value


def dispatch_lines(
    target: Target, file: str, shared_fields: dict[str, Any], key: str | None
) -> Exit | None:
    """Dispatch a job for each line, and print their ids in order.

    All jobs have `shared_fields`. The progress goes to standard error. If the
    command stops early, it prints the command that continues.
    """
    payloads = read_lines(file)
    sent_key, done = key or new_key(), 0
    conflicts = 0
    jobs = ({**shared_fields, "payload": payload} for payload in payloads)
    try:
        for index, job, error in target.api.dispatch_many(jobs, sent_key):
            if target.json:
                output.print_json_line({"index": index, "job": job, "error": error})
            else:
                click.echo(job["id"] if job else "-")
            if error is not None:
                conflicts += 1
                click.echo(f"Job {index + 1}: {error}", err=True)
            done = index + 1
            if done % _STEP == 0:
                click.echo(f"{done:,} of {len(payloads):,} dispatched", err=True)
    except (KeyboardInterrupt, Problem):
        again = f"{COMMAND} dispatch {shared_fields['job_type']} --from {shlex.quote(file)}"
        click.echo(
            f"{done:,} of {len(payloads):,} dispatched. To continue, run the command again with "
            f"the same options and this key: {again} --idempotency-key {shlex.quote(sent_key)}",
            err=True,
        )
        raise
    click.echo(f"{done - conflicts:,} of {len(payloads):,} dispatched, on {target.name}", err=True)
    return Exit.REFUSED if conflicts else None
