"""job-runners dispatch TYPE --from FILE: dispatch a job for each line of a file."""

import json
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from job_runners.cli import output
from job_runners.cli.listing import dispatched
from job_runners.cli.problem import Exit, Problem
from job_runners.cli.target import Target
from job_runners.client.repeating import new_key

_PLACE = re.compile(r"^(jobs|members)\.\d+\.?")  # in the request, before a field's name
_STEP = 1_000  # jobs between two lines of progress


def read_lines(file: str) -> dict[int, dict[str, Any]]:
    """Return the JSON objects in a file by their line, counted from 1. Raises click.UsageError.

    The whole file is read first, so that a broken line stops the command before any dispatch.
    """
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"Can't read {file}: {error}") from None
    return {
        number: _payload(line, number)
        for number, line in enumerate(text.split("\n"), 1)
        if line.strip()
    }


def with_lines(problem: Problem, numbers: Sequence[int]) -> Problem:
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
    lines = read_lines(file)
    payloads, numbers = list(lines.values()), list(lines)
    sent_key, done = key or new_key(), 0
    conflicts = 0
    jobs = ({**shared_fields, "payload": payload} for payload in payloads)
    try:
        for each in target.api.dispatch_many(jobs, idempotency_key=sent_key):
            index = each.index
            job = each.job and dispatched(target, each.job)
            error = each.error and output.plain(each.error.problem)
            if target.json:
                output.print_json_line({"index": index, "job": job, "error": error})
            else:
                click.echo(job["id"] if job else "-")
            if error is not None:
                conflicts += 1
                click.echo(f"Line {numbers[index]}: {error}", err=True)
            done = index + 1
            if done % _STEP == 0:
                click.echo(f"{done:,} of {len(payloads):,} dispatched", err=True)
    except (KeyboardInterrupt, Problem) as stopped:
        again = f"job-runners dispatch {shared_fields['job_type']} --from {shlex.quote(file)}"
        click.echo(
            f"{done:,} of {len(payloads):,} dispatched. To continue, run the command again with "
            f"the same options and this key: {again} --idempotency-key {shlex.quote(sent_key)}",
            err=True,
        )
        if isinstance(stopped, Problem):
            raise with_lines(stopped, numbers) from stopped.__cause__
        raise
    click.echo(f"{done - conflicts:,} of {len(payloads):,} dispatched, on {target.name}", err=True)
    return Exit.REFUSED if conflicts else None
