"""Read a payload from the command line: pairs, a JSON object, a file or standard input."""

import json
import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from job_runners.cli.problem import Problem

OPTION_HELP = 'Payload as a JSON object, "-" for standard input, or @FILE.'
HELP = """\
\b
The payload
  key=value        a string
  key:=JSON        any other value: rows:=500, dry_run:=true, tags:='["a"]'
  --payload JSON   the whole object; - reads standard input, @FILE reads a file
If you pass both, the KEY=VALUE pairs are added to the --payload object and override its fields.
"""

_INVALID = ("invalid-payload", "invalid-members")
_PAIR = re.compile(r"(?P<key>[^=:]+)(?P<raw>:?)=(?P<value>.*)", re.DOTALL)


def read_payload(pairs: tuple[str, ...], whole: str | None) -> dict[str, Any]:
    """Return the payload of a command line. Raises click.UsageError."""
    payload = {} if whole is None else _parse_object(whole)
    for pair in pairs:
        match = _PAIR.fullmatch(pair)
        if not match:
            raise click.UsageError(
                f"{pair!r} isn't part of a payload. Write key=value or key:=JSON."
            )
        value = match["value"]
        payload[match["key"]] = (
            _parse_json(value, f"The value of {match['key']}") if match["raw"] else value
        )
    return payload


@contextmanager
def explained(name: str, pairs: tuple[str, ...] = ()) -> Iterator[None]:
    """Say how to correct the payload of the job or task `name` if the API refuses it: key:=JSON for
    a JSON value that was passed as text with key=value, or the command that shows the fields."""
    try:
        yield
    except Problem as problem:
        answer = problem.answer
        if isinstance(answer, dict) and str(answer.get("type")).endswith(_INVALID):
            fields = f"To see the fields: job-runners types {name}"
            problem.hint = _json_hint(pairs, answer) or fields
        raise


def _json_hint(pairs: tuple[str, ...], answer: dict[str, Any]) -> str:
    wrong = {each["field"] for each in answer.get("errors") or []}
    for pair in pairs:
        match = _PAIR.fullmatch(pair)
        if not match or match["raw"] or f"payload.{match['key']}" not in wrong:
            continue
        key, value = match["key"], match["value"]
        try:
            is_json = not isinstance(json.loads(value), str)
        except ValueError:
            is_json = False
        if is_json:
            return f"key=value passes text. To pass JSON: {shlex.quote(f'{key}:={value}')}"
    return ""


def _parse_object(whole: str) -> dict[str, Any]:
    if whole == "-":
        text, name = sys.stdin.read(), "Standard input"
    elif whole.startswith("@"):
        text, name = _read_file(whole[1:]), whole[1:]
    else:
        text, name = whole, "--payload"
    value = _parse_json(text, name)
    if not isinstance(value, dict):
        raise click.UsageError(f"{name} isn't a JSON object. A payload must be one.")
    return value


def _read_file(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"Can't read {path}: {error}") from None


def _parse_json(text: str, name: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise click.UsageError(f"{name} isn't JSON: {error}") from None
