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
    jobs = {entry["name"]: entry for entry in types["jobs"]}
    tasks = {entry["name"]: entry for entry in types["tasks"]}
    check_name(name, [*jobs, *tasks], "job type or task")
    kind = "task" if name in tasks else "job"
    entry = tasks[name] if kind == "task" else jobs[name]
    if target.json:
        output.print_json(entry)
        return
    description = output.plain(entry["description"])
    click.echo(f"{click.style(name, bold=True)}, a {kind}. {description}")
    _print_fields(entry["payload_schema"])
    subcommand = "dispatch" if kind == "job" else "task"
    arguments = _example_arguments(entry["payload_schema"])
    if entry.get("internal"):
        click.echo("\nOnly Job Runners dispatches it.")
    else:
        click.echo(f"\njob-runners {subcommand} {name} {arguments}".rstrip())
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
    """Describe a job type's uniqueness rule."""
    per = " and ".join(rule["by"]) or "organization"
    until_started = rule["until"] == "started"
    limit = f"one unstarted job per {per}" if until_started else f"one job at a time per {per}"
    if rule["on_conflict"] == "return":
        return f"{limit}: another request returns the existing job"
    if rule["on_conflict"] == "refuse":
        return f"{limit}: another request is refused"
    text = f"{limit}: another request replaces its payload and time"
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
        details = _type_and_default(field, is_required=name in required)
        click.echo(f"\n  {click.style(name, bold=True)}  {click.style(details, dim=True)}")
        if field.get("description"):
            click.echo(output.wrap(field["description"], 4))
    for name, model in schema.get("$defs", {}).items():
        text = _fields_in_words(model) or f"one of {_type(model)}"
        click.echo(output.wrap(f"{name}: {text}", 2))


def _fields_in_words(model: dict[str, Any]) -> str:
    """Return the names, types and defaults of a nested model's fields."""
    required = model.get("required", [])
    return ", ".join(
        f"{name} ({_type_and_default(field, is_required=name in required)})"
        for name, field in model.get("properties", {}).items()
    )


def _type(field: dict[str, Any]) -> str:
    if "enum" in field:
        return " | ".join(map(str, field["enum"]))
    if "anyOf" in field:
        return " | ".join(_type(option) for option in field["anyOf"])
    if field.get("type") == "array":
        return f"list of {_type(field.get('items', {}))}"
    model_name = field.get("$ref", "any").rsplit("/", 1)[-1]
    return str(field.get("type", model_name))


def _type_and_default(field: dict[str, Any], *, is_required: bool) -> str:
    """Return a field's type, and "required" or its default."""
    if is_required:
        return f"{_type(field)}, required"
    if field.get("default") is None:
        return _type(field)
    return f"{_type(field)}, default {json.dumps(field['default'])}"


def _example_arguments(schema: dict[str, Any]) -> str:
    """Return example arguments for the required fields, as key=value or key:=JSON."""
    fields, models = schema.get("properties", {}), schema.get("$defs", {})
    arguments = []
    for name in schema.get("required", []):
        value = _example_value(fields[name], models)
        if isinstance(value, str):
            arguments.append(f"{name}={shlex.quote(value)}")
        else:
            arguments.append(f"{name}:={shlex.quote(json.dumps(value))}")
    return " ".join(arguments)


def _example_value(field: dict[str, Any], models: dict[str, Any]) -> Any:
    """Return the schema's example of a value, or any value of the right type.

    A nested model's value has only the required fields.
    """
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
        # A model may contain itself. Leave it out below, so that the recursion ends.
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
