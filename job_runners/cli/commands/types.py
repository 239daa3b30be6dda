"""job-runners types: list the job types and tasks of a stack."""

import json
import shlex
from typing import Any

import click

from job_runners.cli import options, output
from job_runners.cli.completion import names_of
from job_runners.cli.known import check_name
from job_runners.cli.target import Target

_EXAMPLES = {"integer": 1, "number": 1.5, "boolean": True, "null": None}


@options.command()
@click.argument("name", required=False, shell_complete=names_of("jobs", "tasks"))
def command(target: Target, name: str | None) -> None:
    """List the job types and tasks of this stack. With NAME, show the fields of its payload."""
    types = target.shown(target.api.job_types())
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
    check_name(name, known, "job type or task")
    kind, entry = known[name]
    if target.json:
        output.print_json(entry)
        return
    description = output.plain(entry["description"])
    click.echo(f"{click.style(name, bold=True)}, a {kind}. {description}")
    _print_fields(entry["payload_schema"])
    verb = "dispatch" if kind == "job" else "task"
    arguments = _example(entry["payload_schema"])
    if entry.get("internal"):
        click.echo("\nOnly Job Runners dispatches it.")
    else:
        click.echo(f"\njob-runners {verb} {name} {arguments}".rstrip())
    facts = _queue_and_attempts(entry) if kind == "job" else []
    facts += [f"worker {entry['worker']}"] if entry.get("worker") else []
    if facts:
        click.echo(click.style(", ".join(facts), dim=True))
    if entry.get("unique"):  # missing in the response of an older API
        click.echo(click.style(_unique_in_words(entry["unique"]), dim=True))


def _queue_and_attempts(entry: dict[str, Any]) -> list[str]:
    others = ", ".join(entry.get("queues", [])[1:])
    queue = f"queue {entry['queue_name']}" + (f" (or {others})" if others else "")
    retry = entry["retry"]
    return [queue, f"up to {retry['max_attempts']} attempts" if retry else "one attempt"]


def _unique_in_words(rule: dict[str, Any]) -> str:
    """Return the uniqueness rule of a job type in words."""
    per = " and ".join(rule["by"]) or "organization"
    until_started = rule["until"] == "started"
    rule_in_words = (
        f"one unstarted job per {per}" if until_started else f"one job at a time per {per}"
    )
    if rule["on_conflict"] == "return":
        return f"{rule_in_words}: another request returns the existing job"
    if rule["on_conflict"] == "refuse":
        return f"{rule_in_words}: another request is refused"
    longest = rule["at_most"]
    delay = "" if longest is None else f" (delayed by {output.duration(longest)} at most)"
    once_started = (
        "one more job follows" if rule["then"] == "again" else "a request returns it unchanged"
    )
    then = "" if until_started else f"; once it has started, {once_started}"
    return f"{rule_in_words}: another request replaces its payload and time{delay}{then}"


def _print_fields(schema: dict[str, Any]) -> None:
    required = schema.get("required", [])
    fields = schema.get("properties", {})
    if not fields:
        click.echo("The payload is empty.")
    for name, field in fields.items():
        facts = ", ".join(filter(None, (_type(field), _necessity(field, name in required))))
        click.echo(f"\n  {click.style(name, bold=True)}  {click.style(facts, dim=True)}")
        if field.get("description"):
            click.echo(output.wrapped(field["description"], 4))
    for name, model in schema.get("$defs", {}).items():
        parts = ", ".join(_field_in_words(model, each) for each in model.get("properties", {}))
        click.echo(output.wrapped(f"{name}: {parts or 'one of ' + _type(model)}", 2))


def _field_in_words(model: dict[str, Any], name: str) -> str:
    """Return the name, type and default of a field of a nested model."""
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
    """Return the required fields in the syntax of the command line."""
    fields, models = schema.get("properties", {}), schema.get("$defs", {})
    values = {name: _value(fields[name], models) for name in schema.get("required", [])}
    return " ".join(
        f"{name}={shlex.quote(value)}"
        if isinstance(value, str)
        else f"{name}:={shlex.quote(json.dumps(value))}"
        for name, value in values.items()
    )


def _value(field: dict[str, Any], models: dict[str, Any]) -> Any:
    """Return an example of a field's value: its own, if it has one. A model in it has its required
    fields."""
    if field.get("examples"):
        return field["examples"][0]
    if "enum" in field:
        return field["enum"][0]
    if "const" in field:
        return field["const"]
    if options := field.get("anyOf") or field.get("oneOf"):
        return _value(options[0], models)
    if "$ref" in field:
        name = field["$ref"].rsplit("/", 1)[-1]
        others = {each: model for each, model in models.items() if each != name}  # may be recursive
        return _value(models.get(name, {}), others)
    if field.get("type") == "array":
        return [_value(field.get("items", {}), models)]
    if field.get("type") == "object":
        parts = field.get("properties", {})
        return {name: _value(parts[name], models) for name in field.get("required", [])}
    return _EXAMPLES.get(field.get("type", ""), "...")


def _first_sentence(text: str) -> str:
    return text.split(". ")[0].rstrip(".")
