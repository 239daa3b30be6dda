"""jobs types: what can be dispatched, and with which payload."""

import json
from difflib import get_close_matches
from typing import Any

import click

from job_runners.cli import output
from job_runners.cli.completion import names_of
from job_runners.cli.options import command as jobs_command
from job_runners.cli.problem import Problem
from job_runners.cli.target import Target


@jobs_command()
@click.argument("name", required=False, shell_complete=names_of("jobs", "tasks"))
def command(target: Target, name: str | None) -> None:
    """List the jobs and tasks that this stack knows; with a name, the fields of its payload."""
    types = target.api.types()
    if name is not None:
        _show_one(target, types, name)
    elif target.json:
        output.print_json(types)
    else:
        rows = [
            (kind, each["name"], _first_sentence(each["description"]))
            for kind, entries in (("job", types["jobs"]), ("task", types["tasks"]))
            for each in entries
        ]
        output.table(("KIND", "NAME", ""), rows)


def _show_one(target: Target, types: dict[str, Any], name: str) -> None:
    known = {each["name"]: ("job", each) for each in types["jobs"]}
    known |= {each["name"]: ("task", each) for each in types["tasks"]}
    if name not in known:
        near = get_close_matches(name, known, 1)
        hint = f"Did you mean {near[0]}?" if near else "All of them: jobs types"
        raise Problem(f"This stack knows no job or task {name}.", hint=hint)
    kind, entry = known[name]
    if target.json:
        output.print_json(entry)
        return
    description = output.plain(entry["description"])
    click.echo(f"{click.style(name, bold=True)}, a {kind}. {description}")
    _print_fields(entry["payload_schema"])
    verb = "dispatch" if kind == "job" else "task"
    campaign = "--campaign ..." if entry.get("needs_campaign") else ""
    asked = " ".join(filter(None, (_example(entry["payload_schema"]), campaign)))
    click.echo(f"\njobs {verb} {name} {asked}".rstrip())
    if kind == "job":
        retry = entry["retry"]
        attempts = f"up to {retry['max_attempts']} attempts" if retry else "never runs twice"
        others = ", ".join(entry.get("queues", [])[1:])
        queue = f"queue {entry['queue_name']}" + (f" (or {others})" if others else "")
        click.echo(click.style(f"{queue}, {attempts}", dim=True))
        if entry.get("unique"):  # which an older API does not tell
            click.echo(click.style(_unique(entry["unique"]), dim=True))


def _unique(rule: dict[str, Any]) -> str:
    """Return by which rule a job is unique, in a few words."""
    per = " and ".join(rule["by"]) or "organisation"
    until_started = rule["until"] == "started"
    one = f"one that has not started per {per}" if until_started else f"one at a time per {per}"
    if rule["on_conflict"] == "return":
        return f"{one}: another request gets the job there is"
    if rule["on_conflict"] == "refuse":
        return f"{one}: another request is refused"
    most = rule["at_most"]
    put_off = "" if most is None else f", which put it off {output.duration(most)} at most"
    begun = "one more follows" if rule["then"] == "again" else "a request gets it as it is"
    then = "" if until_started else f"; once it has begun, {begun}"
    return f"{one}: another request replaces its payload and time{put_off}{then}"


def _print_fields(schema: dict[str, Any]) -> None:
    required = schema.get("required", [])
    fields = schema.get("properties", {})
    if not fields:
        click.echo("Its payload is empty.")
    for name, field in fields.items():
        facts = ", ".join(filter(None, (_type(field), _necessity(field, name in required))))
        click.echo(f"\n  {click.style(name, bold=True)}  {click.style(facts, dim=True)}")
        if field.get("description"):
            click.echo(output.wrapped(field["description"], 4))
    for name, model in schema.get("$defs", {}).items():
        parts = ", ".join(_part(model, each) for each in model.get("properties", {}))
        click.echo(output.wrapped(f"{name}: {parts or 'one of ' + _type(model)}", 2))


def _part(model: dict[str, Any], name: str) -> str:
    """Return a field of a model that the payload is made of, in a few words."""
    field = model["properties"][name]
    facts = filter(None, (_type(field), _necessity(field, name in model.get("required", []))))
    return f"{name} ({', '.join(facts)})"


def _type(field: dict[str, Any]) -> str:
    if "enum" in field:
        return " | ".join(map(str, field["enum"]))
    if "anyOf" in field:
        return " | ".join(_type(each) for each in field["anyOf"])
    if field.get("type") == "array":
        return f"list of {_type(field.get('items', {}))}"
    kind: str = field.get("type", field.get("$ref", "any").rsplit("/", 1)[-1])
    return kind


def _necessity(field: dict[str, Any], required: bool) -> str:
    if required:
        return "required"
    return "" if field.get("default") is None else f"default {json.dumps(field['default'])}"


def _example(schema: dict[str, Any]) -> str:
    """Return the required fields as they are written on a command line."""
    fields = schema.get("properties", {})
    return " ".join(
        f"{name}{'=' if _type(fields[name]) == 'string' else ':='}..."
        for name in schema.get("required", [])
    )


def _first_sentence(text: str) -> str:
    return text.split(". ")[0].rstrip(".")
