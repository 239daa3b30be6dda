"""Read a payload from the command line: from pairs, a JSON object, a file or standard input."""

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

_PAYLOAD_ERRORS = ("invalid-payload", "invalid-members")  # ends of the API's error types
_PAIR = re.compile(r"(?P<key>[^=:]+)(?P<colon>:?)=(?P<value>.*)", re.DOTALL)


def read_payload(pairs: tuple[str, ...], payload_option: str | None) -> dict[str, Any]:
    """Combine the pairs and --payload. Raises click.UsageError."""
    payload = {} if payload_option is None else _read_object(payload_option)
    for pair in pairs:
        match = _PAIR.fullmatch(pair)
        if not match:
            raise click.UsageError(
                f"{pair!r} isn't part of a payload. Write key=value or key:=JSON."
            )
        key, value = match["key"], match["value"]
        if match["colon"]:
            payload[key] = _parse_json(value, f"The value of {key}")
        else:
            payload[key] = value
    return payload


@contextmanager
def add_hint_if_invalid(name: str, pairs: tuple[str, ...] = ()) -> Iterator[None]:
    """If the API refuses the payload of a job or task, add a hint to the Problem.

    `name` is the job type or the task.
    """
    try:
        yield
    except Problem as problem:
        error = problem.answer
        if isinstance(error, dict) and str(error.get("type")).endswith(_PAYLOAD_ERRORS):
            fields_hint = f"To see the fields: job-runners types {name}"
            problem.hint = _json_hint(pairs, error) or fields_hint
        raise


def _json_hint(pairs: tuple[str, ...], error: dict[str, Any]) -> str:
    """Return a hint if an invalid key=value was probably meant as JSON, otherwise ""."""
    invalid_fields = {field_error["field"] for field_error in error.get("errors") or []}
    for pair in pairs:
        match = _PAIR.fullmatch(pair)
        if not match or match["colon"]:
            continue
        key, value = match["key"], match["value"]
        if f"payload.{key}" in invalid_fields and _is_json_but_no_string(value):
            return f"key=value passes text. To pass JSON: {shlex.quote(f'{key}:={value}')}"
    return ""


def _is_json_but_no_string(text: str) -> bool:
    try:
        return not isinstance(json.loads(text), str)
    except ValueError:
        return False


def _read_object(payload_option: str) -> dict[str, Any]:
    if payload_option == "-":
        return parse_object(read_text("-"), "Standard input")
    if payload_option.startswith("@"):
        path = payload_option[1:]
        return parse_object(read_text(path), path)
    return parse_object(payload_option, "--payload")


def parse_object(text: str, name: str) -> dict[str, Any]:
    """Parse a JSON object. `name` is what a UsageError calls the text."""
    value = _parse_json(text, name)
    if not isinstance(value, dict):
        raise click.UsageError(f"{name} isn't a JSON object, but must be one.")
    return value


def read_text(path: str) -> str:
    """Read a file, or standard input for "-". Raises click.UsageError."""
    try:
        return sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"Can't read {path}: {error}") from None


def _parse_json(text: str, name: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise click.UsageError(f"{name} isn't JSON: {error}") from None
