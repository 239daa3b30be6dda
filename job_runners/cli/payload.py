"""Payloads as a command line gives them: key=value, key:=JSON, a JSON object, a file, stdin."""

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
  key:=JSON        anything else: rows:=500, dry_run:=true, tags:='["a"]'
  --payload JSON   the whole object; - reads it from standard input, @FILE from a file
Pairs are put into the object that --payload gives, if both are there.
"""

_PAIR = re.compile(r"(?P<key>[^=:]+)(?P<raw>:?)=(?P<value>.*)", re.DOTALL)


def read_payload(pairs: tuple[str, ...], whole: str | None) -> dict[str, Any]:
    """Return the payload that a command line means; click.UsageError says what can't be read."""
    payload = {} if whole is None else _object(whole)
    for pair in pairs:
        match = _PAIR.fullmatch(pair)
        if not match:
            raise click.UsageError(
                f"{pair!r} is not a part of a payload: write key=value, or key:=JSON"
            )
        value = match["value"]
        payload[match["key"]] = (
            _json(value, f"the value of {match['key']}") if match["raw"] else value
        )
    return payload


@contextmanager
def hinting_at_json(pairs: tuple[str, ...]) -> Iterator[None]:
    """Say how a value that is not text is written, where the API refuses one that was given as
    text: words='["a"]' is the text ["a"]."""
    try:
        yield
    except Problem as problem:
        if isinstance(problem.answer, dict):
            problem.hint = problem.hint or _json_hint(pairs, problem.answer)
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
            return f"key=value is text. As JSON: {shlex.quote(f'{key}:={value}')}"
    return ""


def _object(whole: str) -> dict[str, Any]:
    if whole == "-":
        text, name = sys.stdin.read(), "standard input"
    elif whole.startswith("@"):
        text, name = _file(whole[1:]), whole[1:]
    else:
        text, name = whole, "--payload"
    value = _json(text, name)
    if not isinstance(value, dict):
        raise click.UsageError(f"{name} is not a JSON object, and a payload is one")
    return value


def _file(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{path} can't be read: {error}") from None


def _json(text: str, name: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise click.UsageError(f"{name} is not JSON: {error}") from None
