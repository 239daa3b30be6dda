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
    types = target.printable(target.api.job_types())
    if name is not None:
        _show_one(target, types, name)
    elif target.json:
        output.print_json(types)
    else:
        rows = [
            (kind, entry["name"], _first_sentence(entry["description"]))
            for kind, entries in (("job", types["jobs"]), ("task", types["tasks"]))
            for entry in entries
        ]
        output.print_table(("KIND", "NAME", ""), rows)


def _show_one(target: Target, types: dict[str, Any], name: str) -> None:
    known = {entry["name"]: ("job", entry) for entry in types["jobs"]}
    known |= {entry["name"]: ("task", entry) for entry in types["tasks"]}
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
    details = _queue_and_attempts(entry) if kind == "job" else []
    if entry["worker"]:
        details.append(f"worker {entry['worker']}")
    if details:
        click.echo(click.style(", ".join(details), dim=True))
    if kind == "job" and entry["unique"]:
        click.echo(click.style(_unique_in_words(entry["unique"]), dim=True))


def _queue_and_attempts(entry: dict[str, Any]) -> list[str]:
    queue = f"queue {entry['queue_name']}"
    other_queues = entry["queues"][1:]  # the first is the default
    if other_queues:
        queue += f" (or {', '.join(other_queues)})"
    retry = entry["retry"]
    attempts = f"up to {retry['max_attempts']} attempts" if retry else "one attempt"
    return [queue, attempts]


def _unique_in_words(rule: dict[str, Any]) -> str:
    """Return the uniqueness rule of a job type in words."""
    per = " and ".join(rule["by"]) or "organization"
    until_started = rule["until"] == "started"
    rule_in_words = f"one job at a time per {per}"
    if until_started:
        rule_in_words = f"one unstarted job per {per}"
    if rule["on_conflict"] == "return":
        return f"{rule_in_words}: another request returns the existing job"
    if rule["on_conflict"] == "refuse":
        return f"{rule_in_words}: another request is refused"
    text = f"{rule_in_words}: another request replaces its payload and time"
    if rule["at_most"] is not None:
        text += f" (delayed by {output.duration(rule['at_most'])} at most)"
    if until_started:
        return text
    if rule["then"] == "again":
        return f"{text}; once it has started, one more job follows"
    return f"{text}; once it has started, a request returns it unchanged"


def _print_fields(schema: dict[str, Any]) -> None:
    required = schema.get("required", [])
    fields = schema.get("properties", {})
    if not fields:
        click.echo("The payload is empty.")
    for name, field in fields.items():
        details = ", ".join(_type_and_default(field, is_required=name in required))
        click.echo(f"\n  {click.style(name, bold=True)}  {click.style(details, dim=True)}")
        if field.get("description"):
            click.echo(output.wrap(field["description"], 4))
    for name, model in schema.get("$defs", {}).items():
        text = ", ".join(_field_in_words(model, field) for field in model.get("properties", {}))
        if not text:
            text = f"one of {_type(model)}"
        click.echo(output.wrap(f"{name}: {text}", 2))


def _field_in_words(model: dict[str, Any], name: str) -> str:
    """Return the name, type and default of a field of a nested model."""
    field = model["properties"][name]
    details = _type_and_default(field, is_required=name in model.get("required", []))
    return f"{name} ({', '.join(details)})"


def _type(field: dict[str, Any]) -> str:
    if "enum" in field:
        return " | ".join(map(str, field["enum"]))
    if "anyOf" in field:
        return " | ".join(_type(option) for option in field["anyOf"])
    if field.get("type") == "array":
        return f"list of {_type(field.get('items', {}))}"
    model_name = field.get("$ref", "any").rsplit("/", 1)[-1]
    return str(field.get("type", model_name))


def _type_and_default(field: dict[str, Any], *, is_required: bool) -> list[str]:
    """Return the type of a field, and "required" or its default."""
    if is_required:
        return [_type(field), "required"]
    if field.get("default") is None:
        return [_type(field)]
    return [_type(field), f"default {json.dumps(field['default'])}"]


def _example(schema: dict[str, Any]) -> str:
    """Return the required fields in the syntax of the command line."""
    fields, models = schema.get("properties", {}), schema.get("$defs", {})
    values = {name: _example_value(fields[name], models) for name in schema.get("required", [])}
    return " ".join(
        f"{name}={shlex.quote(value)}"
        if isinstance(value, str)
        else f"{name}:={shlex.quote(json.dumps(value))}"
        for name, value in values.items()
    )


def _example_value(field: dict[str, Any], models: dict[str, Any]) -> Any:
    """Return an example of a field's value: one from the schema, or any value of the right type.
    The example of a model has only the required fields."""
    if field.get("examples"):
        return field["examples"][0]
    if "enum" in field:
        return field["enum"][0]
    if "const" in field:
        return field["const"]
    options = field.get("anyOf") or field.get("oneOf")
    if options:
        return _example_value(options[0], models)
    if "$ref" in field:
        name = field["$ref"].rsplit("/", 1)[-1]
        # A model may contain itself.
        other_models = {other: model for other, model in models.items() if other != name}
        return _example_value(models.get(name, {}), other_models)
    if field.get("type") == "array":
        return [_example_value(field.get("items", {}), models)]
    if field.get("type") == "object":
        fields = field.get("properties", {})
        return {name: _example_value(fields[name], models) for name in field.get("required", [])}
    return _EXAMPLES.get(field.get("type", ""), "...")


def _first_sentence(text: str) -> str:
    return text.split(". ")[0].rstrip(".")
