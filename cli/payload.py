"""Payloads as a command line gives them: key=value, key:=JSON, a JSON object, a file, stdin."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import click

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
    """The payload that a command line means; click.UsageError says what can't be read."""
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
